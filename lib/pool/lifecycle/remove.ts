// Removal of a pool, top down: volumes, pool, loop devices, files.
import { BUSY_RETRY_MS } from '../../kernel/port/device-port.js'
import { undefinedIf, DmThinError } from '../../base/errors.js'
import { describeHolders } from '../../block/holders.js'
import type { LoopStatus } from '../../kernel/port/loop-port.js'
import { parseDeviceNumber } from '../../base/device-number.js'
import { checkBoolean, checkNumber, checkOptions, type SignalOption } from '../../base/options.js'
import { deleteUnattached, POOL_LOOP_REFERENCE } from './backing.js'
import { cleanState, recordStop } from '../state/clean-stop.js'
import type { ActiveThin } from '../../kernel/port/pool-port.js'
import { spareUuidPrefix } from '../spares/spare-volumes.js'
import { addressOf, inventoryOf, removalGuard, tableOfPool, type PoolContext } from '../state/context.js'
import { deviceKey, type PoolLock } from '../state/locks.js'
import { loopOf, untilDetached } from '../../block/find-loop.js'

/** Options of `ThinPool.remove`. */
export interface RemovePoolOptions extends SignalOption {
  /**
   * Deactivates active volumes first. Without it, active volumes reject the call with `DM_POOL_IN_USE`. Default false.
   */
  readonly deactivate?: boolean
  /**
   * Deletes the files below the loop devices that `create` or `open` attached for the pool, and with them the volumes;
   * also the record, if there is one. A file is deleted only if its path still leads to it. Default false.
   */
  readonly deleteFiles?: boolean
  /** Time for which each busy device is retried, in milliseconds. Default 10 000. */
  readonly timeoutMs?: number
}

/** The devices and files that were removed. */
export interface RemovedPool {
  /** The name of the pool's mapped device. */
  readonly pool: string
  /** Names of the mapped devices of volumes. */
  readonly volumes: readonly string[]
  /** Loop devices that were attached for the pool: `/dev/loop3` … */
  readonly loops: readonly string[]
  /** Paths of the files that `deleteFiles` deleted. */
  readonly files: readonly string[]
}

interface RemovePlan {
  readonly deactivate: boolean
  readonly deleteFiles: boolean
  readonly limitMs: number
  readonly signal: AbortSignal | undefined
}

export function checkRemoveOptions(options: RemovePoolOptions): RemovePlan {
  checkOptions(options, ['deactivate', 'deleteFiles', 'timeoutMs', 'signal'], 'remove')
  return {
    deactivate: checkBoolean('deactivate', options.deactivate),
    deleteFiles: checkBoolean('deleteFiles', options.deleteFiles),
    limitMs: checkNumber('timeoutMs', options.timeoutMs ?? BUSY_RETRY_MS, { min: 0 }),
    signal: options.signal,
  }
}

export async function removePool(context: PoolContext, options: RemovePlan, lock: PoolLock): Promise<RemovedPool> {
  const { port, name, address, device } = context
  const { limitMs, signal } = options
  const found = await inventoryOf(context, signal)
  const table = tableOfPool(name, found.table)
  const below = [table.dataDevice, table.metadataDevice]
  await lock.takeBackings(await Promise.all(below.map(each => deviceKey(port, parseDeviceNumber(each)!, signal))))
  const loops: LoopStatus[] = []
  for (const number of below) {
    const loop = await loopOf(port, number, signal)
    // The pool does not detach a loop device that another attached, such as the caller, and does not delete its file.
    if (loop?.autoclear && loop.reference === POOL_LOOP_REFERENCE) loops.push(loop)
  }
  const thins = found.thins.filter(({ line }) => line !== undefined)
  const isSpare = (thin: ActiveThin) => thin.uuid.startsWith(spareUuidPrefix(context))
  const volumes = thins.filter(thin => !isSpare(thin))
  if (volumes.length > 0 && !options.deactivate) {
    const names = volumes.slice(0, 5).map(volume => volume.name)
    const more = volumes.length > names.length ? ` and ${volumes.length - names.length} more` : ''
    const text = `pool ${name} has active volumes: ${names.join(', ')}${more}; deactivate them or pass deactivate: true`
    throw new DmThinError('DM_POOL_IN_USE', text, { device: name })
  }
  const outcomes = await Promise.allSettled(
    thins.map(volume =>
      describeHolders(port, volume.device, volume.name, async () => {
        // Another process may deactivate the volume first.
        const thin = { address: addressOf(volume), thinId: volume.id }
        await port.deactivate(removalGuard(context, true), thin, limitMs, signal).catch(undefinedIf('DM_NOT_FOUND'))
      }),
    ),
  )
  for (const volume of volumes) port.mapperLinks.drop(volume.name)
  const stuck = outcomes.find(outcome => outcome.status === 'rejected')
  if (stuck) throw stuck.reason
  // Nothing is activated between the commit and the removal: the lock excludes that.
  const mayBeClean = lock.complete && !options.deleteFiles
  const state = mayBeClean ? await cleanState(context, signal) : undefined
  await describeHolders(port, device, name, () => port.remove(address, limitMs, signal))
  port.mapperLinks.drop(name)
  if (state !== undefined) await recordStop(context, state)
  // The pool is removed and cannot return by itself: an abort from here on would only leave loop devices behind.
  for (const loop of loops) await untilDetached(port, loop, limitMs)
  const files: string[] = []
  for (const { file, backingDevice, backingInode } of options.deleteFiles ? loops : []) {
    const deleted = await deleteUnattached(port, file, { device: backingDevice, inode: backingInode })
    if (deleted) files.push(file)
  }
  return {
    pool: name,
    volumes: volumes.map(volume => volume.name),
    loops: loops.map(loop => `/dev/loop${loop.number}`),
    files,
  }
}
