// Search for a pool: attaches to a running one, or starts it from its files or devices.
import { loopOf } from '../../block/find-loop.js'
import { undefinedIf, DmThinError } from '../../base/errors.js'
import { nodePath } from '../../block/node-path.js'
import type { Rollback } from '../../base/rollback.js'
import { DEVICE_FLAG } from '../../kernel/port/device-port.js'
import type { Inventory } from '../../kernel/port/pool-port.js'
import type { KernelPort } from '../../kernel/port/kernel-port.js'
import { parseDeviceNumber } from '../../base/device-number.js'
import type { PoolTable } from '../../target/thin-pool.js'
import { sectorsToBytes } from '../../base/units.js'
import { optionsOf, TABLE_OPTIONS } from '../state/table-options.js'
import { addressOf, POOL_UUID_PREFIX, tableOfPool } from '../state/context.js'
import type { PoolLock } from '../state/locks.js'
import type { DeviceSource, PoolPlan } from './pool-options.js'
import { unkeptTable } from './keeper-mark.js'
import { mismatch, restartPool, type BeforeStart } from './create.js'

/**
 * Returns the running pool and its devices. Without a plan, it does not start a pool; otherwise after `beforeStart`.
 */
export async function findPool(
  port: KernelPort,
  name: string,
  plan: PoolPlan | undefined,
  lock: PoolLock,
  rollback: Rollback,
  beforeStart: BeforeStart,
  signal?: AbortSignal,
): Promise<Inventory> {
  const running = await runningPool(port, name, lock, signal)
  if (running) {
    const { pool, table } = running
    const address = addressOf(pool)
    const unkept = await unkeptTable({ port, name, address }, pool, signal, tableOfPool(name, table))
    if (plan) await comparePlan(port, plan, unkept, signal)
    return running
  }
  if (plan) return port.inventory(addressOf(await restartPool(port, plan, lock, rollback, beforeStart, signal)), signal)
  const hint = 'pass data and metadata to start it from its files or devices'
  throw new DmThinError('DM_NOT_FOUND', `no pool "${name}" is active; ${hint}`, { device: name })
}

async function runningPool(
  port: KernelPort,
  name: string,
  lock: PoolLock,
  signal?: AbortSignal,
): Promise<Inventory | undefined> {
  const found = await port.inventory({ name }, signal).catch(undefinedIf('DM_NOT_FOUND'))
  if (!found || (found.pool.flags & DEVICE_FLAG.activeTable) !== 0) return found
  const info = found.pool
  // A device without a table: a process crashed between creating it and loading the table, unless other processes could
  // not be excluded.
  if (!info.uuid.startsWith(POOL_UUID_PREFIX) || info.openCount > 0 || !lock.complete) return found
  await port.remove(addressOf(info), 1_000, signal)
  return undefined
}

/** Rejects with `DM_POOL_MISMATCH` if an option that was given differs from the running pool. */
export async function comparePlan(
  port: KernelPort,
  plan: PoolPlan,
  table: PoolTable,
  signal?: AbortSignal,
): Promise<void> {
  const differ = (what: string, is: unknown, asked: unknown) => {
    if (plan.given.has(what) && is !== asked) throw mismatch(plan.name, what, is, asked)
  }
  const blockBytes = sectorsToBytes(table.blockSectors)
  differ('dataBlockBytes', blockBytes, plan.dataBlockBytes)
  const running = optionsOf(table)
  for (const name of TABLE_OPTIONS) differ(name, running[name], plan[name])
  await compareSource(port, plan, 'data', plan.data, table.dataDevice, signal)
  await compareSource(port, plan, 'metadata', plan.metadata, table.metadataDevice, signal)
}

async function compareSource(
  port: KernelPort,
  plan: PoolPlan,
  role: string,
  source: DeviceSource,
  number: string,
  signal?: AbortSignal,
): Promise<void> {
  const running = parseDeviceNumber(number)
  if ('device' in source) {
    const { targetDevice } = await port.identify(source.device, signal)
    if (targetDevice !== running) throw mismatch(plan.name, role, nodePath(number), source.device)
    return
  }
  const file = await port.identify(source.file, signal)
  const loop = await loopOf(port, number, signal)
  if (!loop || loop.backingDevice !== file.device || loop.backingInode !== file.inode) {
    throw mismatch(plan.name, role, loop?.file ?? nodePath(number), source.file)
  }
}
