// ThinPool.check of a pool that does not run.
import { DmThinError, throwIfAborted, undefinedIf } from '../../base/errors.js'
import { checkName, checkOptions, invalid, shown } from '../../base/options.js'
import { portOf } from '../../kernel/native-port.js'
import type { DeviceInfo } from '../../kernel/port/device-port.js'
import { type CheckDepth, checkByTool, examine, requireNative } from '../check/examine-metadata.js'
import { type PoolCheck, type PoolState, resolvingCall } from '../check/pool-states.js'
import { checkOpenOptions, checkRecord } from '../lifecycle/pool-options.js'
import { withPoolLock } from '../state/locks.js'
import { checkTransactionId } from '../state/transaction-id.js'
import { findAtRest } from './pool-at-rest.js'
import type { CheckPoolOptions } from './repair-options.js'
import { PLAIN_HANDLE, contextOf } from '../lifecycle/new-context.js'
import { type PoolContext, poolStatusLine, poolTable } from '../state/context.js'
import { explained } from '../state/explain-error.js'
import { MetadataLease } from '../metadata-read/metadata-snapshot.js'

export function checkDepth(depth: unknown): CheckDepth {
  if (depth === undefined || depth === 'full' || depth === 'quick') return depth ?? 'full'
  throw invalid(`depth must be 'quick' or 'full', but is ${shown(depth)}`)
}

const CHECK_OPTIONS = ['name', 'data', 'metadata', 'record', 'transactionId', 'depth', 'kernel', 'signal']

/** Returns the result for a pool that does not run, or the device of a running pool. */
export async function checkAtRest(options: CheckPoolOptions): Promise<PoolCheck | DeviceInfo> {
  checkOptions(options, CHECK_OPTIONS, 'ThinPool.check')
  const { data, metadata, kernel, signal } = options
  const name = checkName(options.name)
  const depth = checkDepth(options.depth)
  const record = checkRecord(options.record)
  const transactionId =
    options.transactionId === undefined ? undefined : checkTransactionId('transactionId', options.transactionId)
  const sources = checkOpenOptions({ name, ...(data && { data }), ...(metadata && { metadata }) })
  throwIfAborted(signal)
  const port = portOf(kernel)
  return withPoolLock(port, name, signal, async lock => {
    const running = await port.deviceStatus({ name }, signal).catch(undefinedIf('DM_NOT_FOUND'))
    if (running) return running
    if (!sources) {
      const text = `no pool "${name}" is active; pass data and metadata to check its files or devices`
      throw new DmThinError('DM_NOT_FOUND', text, { device: name })
    }
    const found = await findAtRest(port, sources, { record, transactionId }, lock, signal)
    const { state, details } = await examine(found, depth, signal)
    return { state, running: false, details, resolve: resolvingCall(state, name) }
  })
}

// The check of a pool that runs: its status, and thin_check on a metadata snapshot.

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
