// ThinPool.check of a pool that does not run.
import { DmThinError, throwIfAborted, undefinedIf } from '../../base/errors.js'
import { checkName, checkOptions, invalid, shown } from '../../base/options.js'
import { portOf } from '../../kernel/native-port.js'
import type { DeviceInfo } from '../../kernel/port/device-port.js'
import { examine, type CheckDepth } from '../check/examine.js'
import { resolvingCall, type PoolCheck } from '../check/states.js'
import { checkOpenOptions, checkRecord } from '../lifecycle/options.js'
import { withPoolLock } from '../state/locks.js'
import { checkTransactionId } from '../state/transaction-id.js'
import { findAtRest } from './at-rest.js'
import type { CheckPoolOptions } from './options.js'

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
