// The check of a pool that runs: its status, and thin_check on a metadata snapshot.
import { checkByTool, requireNative, type CheckDepth } from './check/examine.js'
import { resolvingCall, type PoolCheck, type PoolState } from './check/states.js'
import { portOf } from '../kernel/native-port.js'
import { checkAtRest, checkDepth } from './repair/check-at-rest.js'
import type { CheckPoolOptions } from './repair/options.js'
import { contextOf, PLAIN_HANDLE } from './state/new-context.js'
import { poolStatusLine, poolTable, type PoolContext } from './state/context.js'
import { explained } from './state/explain-error.js'
import { MetadataLease } from './metadata-lease.js'

/** Checks a pool, whether it runs or not. */
export async function checkPool(options: CheckPoolOptions): Promise<PoolCheck> {
  const found = await checkAtRest(options)
  if ('state' in found) return found
  const { name, depth, kernel, signal } = options
  const context = await contextOf(portOf(kernel), name, found, PLAIN_HANDLE, undefined, signal)
  return checkRunning(context, checkDepth(depth), signal)
}

export async function checkRunning(context: PoolContext, depth: CheckDepth, signal?: AbortSignal): Promise<PoolCheck> {
  const { name, metadataPath } = context
  const found = (state: PoolState, details: readonly string[]): PoolCheck => ({
    state,
    running: true,
    details,
    resolve: resolvingCall(state, name),
  })
  if (depth === 'full') requireNative(context.port)
  const line = await poolStatusLine(context, signal)
  if (!('transactionId' in line)) return found('failed', ['the kernel could not return to the last commit'])
  if (line.needsCheck) return found('needs-check', ['the kernel has set the needs-check flag'])
  if (line.mode === 'ro') {
    const { readOnly } = await poolTable(context, signal)
    const why = 'the metadata of a read-only pool is not read'
    return readOnly ? found('ok', [why]) : found('read-only', ['the pool may have no free metadata', why])
  }
  if (depth === 'quick') return found('ok', [])
  const lease = await explained(context, MetadataLease.take(context, signal))
  try {
    const fault = await checkByTool(metadataPath, signal, ['--metadata-snap'])
    return fault ? found('damaged', fault.details) : found('ok', ['the space maps of a running pool are not checked'])
  } finally {
    await lease.release()
  }
}
