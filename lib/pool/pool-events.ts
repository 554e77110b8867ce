// Events of a pool. The kernel reports that the pool changed; a comparison of its status lines shows the change.
import type { DeviceEvent } from '../events/device-changes.js'
import type { Merging } from '../events/event-queue.js'
import { asError, startWatch, Watch } from '../events/device-watch.js'
import { deviceNumber } from '../base/device-number.js'
import type { PoolMode } from '../target/thin-pool.js'
import type { PoolContext } from './state/context.js'
import { areSnapshotsLow } from './state/snapshot-clock.js'
import { readPoolStatus, type FailedPoolStatus, type PoolStatus, type WorkingPoolStatus } from './state/status.js'

/**
 * An event for a condition of a working pool. It is reported once, and again after the condition has ended or the pool
 * has grown.
 */
export interface PoolConditionEvent {
  /**
   * `low-water`: free data blocks are at or below the low-water mark. `metadata-low`: the same for metadata.
   * `needs-check`: the metadata must be checked before it is written again. `snapshots-low`: 90 % of the snapshots that
   * a pool can take in its life are made; reported immediately for snapshots of this process, and at the next event for
   * those of others.
   */
  readonly type: 'low-water' | 'metadata-low' | 'needs-check' | 'snapshots-low'
  /** The status in which the condition was found. */
  readonly status: WorkingPoolStatus
  /** True if the condition held when the watch began. */
  readonly initial: boolean
}

/** An event for a change of the pool's mode. */
export interface PoolModeEvent {
  /** Always `mode`: the pool has another mode than before. */
  readonly type: 'mode'
  /** The mode before: of several unread changes, before the first of them. */
  readonly from: PoolMode
  /** The mode after, which is also that of `status`. */
  readonly to: PoolMode
  /** The status after the change. */
  readonly status: PoolStatus
}

/** An event for a pool that serves no more I/O. */
export interface PoolFailedEvent {
  /** Always `failed`: the kernel could not roll back to the last commit, or could not read the pool's status. */
  readonly type: 'failed'
  /** The status, which has no numbers. */
  readonly status: FailedPoolStatus
  /** True if the pool had failed when the watch began. */
  readonly initial: boolean
}

/** The last event of a pool: its device was removed, and the watch ends. */
export interface PoolRemovedEvent {
  /** Always `removed`: no mapped device of this number is the pool any more. */
  readonly type: 'removed'
}

/** An event of a pool. `type` tells the kinds apart. */
export type PoolEvent = PoolConditionEvent | PoolModeEvent | PoolFailedEvent | PoolRemovedEvent

/** A watch of one pool, which `ThinPool.events` returns. */
export type PoolWatch = Watch<PoolEvent>

/** Two unread mode changes merge into one from the first mode to the last; of other events the later one is kept. */
const MERGING: Merging<PoolEvent> = {
  subjectOf: event => event.type,
  merge: (earlier, later) =>
    earlier.type === 'mode' && later.type === 'mode' ? { ...later, from: earlier.from } : later,
}

export function watchPool(pool: PoolContext, signal?: AbortSignal): PoolWatch {
  const watch = new Watch<PoolEvent>(MERGING)
  const device = deviceNumber(pool.device)
  let before: PoolStatus | undefined
  let looking = Promise.resolve()
  // One look at a time: an event that arrives during a look is covered by the next one.
  const look = () => (looking = looking.then(() => compare()))
  const compare = async () => {
    if (watch.closed) return
    try {
      const now = await readPoolStatus(pool)
      for (const event of eventsBetween(before, now)) watch.tell(event)
      before = now
    } catch (fault) {
      const error = asError(fault)
      if (error.code !== 'DM_NOT_FOUND' && error.code !== 'DM_NOT_A_POOL') return watch.fail(error)
      watch.tell({ type: 'removed' })
      watch.close()
    }
  }
  const isOurs = (change: DeviceEvent) => change.device === device
  const onChanges = (_: PoolWatch, changes: readonly DeviceEvent[]) => {
    if (changes.some(isOurs)) void look()
  }
  watch.once(
    'close',
    pool.clock.onLow(() => void look()),
  )
  return startWatch(pool.port, watch, signal, onChanges, look)
}

const hasFailed = (status: PoolStatus): status is FailedPoolStatus => status.data === undefined

/**
 * Returns the events between two states. A condition is reported once, and again after it has ended or the pool has
 * grown. Pure.
 */
export function eventsBetween(before: PoolStatus | undefined, now: PoolStatus): PoolEvent[] {
  const events: PoolEvent[] = []
  const initial = before === undefined
  if (before && before.mode !== now.mode) events.push({ type: 'mode', from: before.mode, to: now.mode, status: now })
  if (hasFailed(now)) {
    if (!before || !hasFailed(before)) events.push({ type: 'failed', status: now, initial })
    return events // a failed pool has no numbers
  }
  if (now.needsCheck && !before?.needsCheck) events.push({ type: 'needs-check', status: now, initial })
  const known = before && !hasFailed(before) ? before : undefined
  if (isWorn(now) && !(known && isWorn(known))) events.push({ type: 'snapshots-low', status: now, initial })
  const grown = known !== undefined && known.data.totalBlocks !== now.data.totalBlocks
  if (isLow(now) && (!known || !isLow(known) || grown)) events.push({ type: 'low-water', status: now, initial })
  const moreMetadata = known !== undefined && known.metadata.totalBlocks !== now.metadata.totalBlocks
  if (isMetadataLow(now) && (!known || !isMetadataLow(known) || moreMetadata)) {
    events.push({ type: 'metadata-low', status: now, initial })
  }
  return events
}

const isWorn = ({ snapshots }: WorkingPoolStatus): boolean => snapshots !== undefined && areSnapshotsLow(snapshots)

/** Compares as the kernel does (dm-thin.c check_low_water_mark). */
const isLow = ({ data, lowWaterMark }: WorkingPoolStatus): boolean =>
  data.totalBlocks - data.usedBlocks <= lowWaterMark.blocks

const isMetadataLow = ({ metadata }: WorkingPoolStatus): boolean =>
  metadata.lowWaterMarkBlocks !== undefined && metadata.totalBlocks - metadata.usedBlocks <= metadata.lowWaterMarkBlocks
