// The end of a running pool before its metadata is repaired.
import { sectorsToBytes } from '../../base/units.js'
import { loopOf } from '../../block/find-loop.js'
import { nodePath } from '../../block/node-path.js'
import type { DeviceInfo } from '../../kernel/port/device-port.js'
import type { KernelPort } from '../../kernel/port/kernel-port.js'
import { POOL_LOOP_REFERENCE } from '../lifecycle/backing.js'
import { unkeptTable } from '../lifecycle/keeper-mark.js'
import { comparePlan } from '../lifecycle/open.js'
import type { DeviceSource, PoolOptions } from '../lifecycle/pool-options.js'
import { optionsOf } from '../state/table-options.js'
import { removePool } from '../lifecycle/remove.js'
import { addressOf } from '../state/context.js'
import type { PoolLock } from '../state/locks.js'
import { contextOf, PLAIN_HANDLE } from '../lifecycle/new-context.js'
import type { Sources } from './pool-at-rest.js'
import type { RepairPlan } from './repair-options.js'

/** Removes the pool. Returns its devices, and the options that it had. */
export async function takeDown(
  port: KernelPort,
  running: DeviceInfo,
  repair: RepairPlan,
  lock: PoolLock,
  signal?: AbortSignal,
): Promise<{ readonly sources: Sources; readonly options: Partial<PoolOptions> }> {
  const { name, plan, deactivate, limitMs } = repair
  const table = await unkeptTable({ port, name, address: addressOf(running) }, running, signal)
  if (plan) await comparePlan(port, plan, table, signal)
  const sources = {
    data: await sourceOf(port, table.dataDevice, signal),
    metadata: await sourceOf(port, table.metadataDevice, signal),
  }
  const context = await contextOf(port, name, running, PLAIN_HANDLE, undefined, signal)
  await removePool(context, { deactivate, deleteFiles: false, limitMs, signal }, lock)
  return { sources, options: { ...optionsOf(table), dataBlockBytes: sectorsToBytes(table.blockSectors) } }
}

/** Returns the file below a loop device that was attached for the pool, which is detached with it; or the device. */
async function sourceOf(port: KernelPort, number: string, signal?: AbortSignal): Promise<DeviceSource> {
  const loop = await loopOf(port, number, signal)
  if (loop?.autoclear && loop.reference === POOL_LOOP_REFERENCE) return { file: loop.file }
  return { device: nodePath(number) }
}
