// Many volumes at once: a result for each, and what the kernel lets overlap, overlaps.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type DmThinError, ERRNO } from '../errors.js'
import { invalid } from '../units.js'
import { snapshotRefused } from './refused.js'
import { explained, volumeUuidPrefix, type PoolContext } from './context.js'
import { volumeStatus, type VolumeStatus } from './status.js'
import { ThinVolume } from './thin-volume.js'

/** The outcome for one volume of many. */
export type VolumeResult<T = void> =
  | { readonly status: 'fulfilled'; readonly volume: ThinVolume; readonly value: T }
  | { readonly status: 'rejected'; readonly volume: ThinVolume; readonly reason: DmThinError }

/** The volumes of results that all succeeded; throws the first reason otherwise. */
export function volumesOf(results: readonly VolumeResult<unknown>[]): ThinVolume[] {
  return results.map(result => {
    if (result.status === 'rejected') throw result.reason
    return result.volume
  })
}

export interface Progress {
  readonly done: number
  readonly total: number
}

export interface ManyOptions {
  /** Called after each volume, on the JavaScript thread. */
  readonly onProgress?: (progress: Progress) => void
  /** Volumes not begun yet reject with `ABORT_ERR`; those under way are given up where the kernel allows it. */
  readonly signal?: AbortSignal
}

/** How long starting calls may hold the event loop. */
const MOST_MS_AT_ONCE = 1

/** Runs `act` for all volumes at once: the native threads bound how many are in the kernel at a time. */
export async function forEachVolume<T>(
  pool: PoolContext,
  volumes: readonly ThinVolume[],
  options: ManyOptions,
  act: (volume: ThinVolume) => Promise<T>,
): Promise<VolumeResult<T>[]> {
  checkVolumes(pool, volumes)
  let done = 0
  const run = async (volume: ThinVolume): Promise<VolumeResult<T>> => {
    try {
      return { status: 'fulfilled', volume, value: await act(volume) }
    } catch (reason) {
      return { status: 'rejected', volume, reason: reason as DmThinError }
    } finally {
      done += 1
      options.onProgress?.({ done, total: volumes.length })
    }
  }
  const started: Promise<VolumeResult<T>>[] = []
  let since = performance.now()
  for (const volume of volumes) {
    started.push(run(volume))
    // Starting thousands takes a while in all: timers and I/O get their turn in between.
    if (performance.now() - since < MOST_MS_AT_ONCE) continue
    await nextTurn()
    since = performance.now()
  }
  return Promise.all(started)
}

export function checkVolumes(pool: PoolContext, volumes: readonly ThinVolume[]): void {
  if (!Array.isArray(volumes)) throw invalid('the volumes must be given as an array')
  for (const volume of volumes) {
    if (!(volume instanceof ThinVolume) || !volume.belongsTo(pool)) {
      throw invalid(`each of the volumes must be a volume of pool ${pool.name}`)
    }
  }
}

/** How often ids that another process was quicker with are replaced by others. */
const ID_ROUNDS = 16

/** One suspend of the origin, all snapshots, one resume; another round only for ids that turned out to be taken. */
export async function snapshotMany(
  pool: PoolContext,
  origin: ThinVolume,
  count: number,
  signal?: AbortSignal,
): Promise<VolumeResult[]> {
  checkVolumes(pool, [origin])
  const results: VolumeResult[] = []
  for (let round = 1, missing = count; missing > 0; round++) {
    const items = await createSnaps(pool, origin.id, missing, signal)
    missing = 0
    for (const { id, errno } of items) {
      if (errno === ERRNO.EEXIST && round < ID_ROUNDS) {
        missing += 1 // somebody else's: stays marked as used
        continue
      }
      const volume = new ThinVolume(pool, { id, sizeBytes: origin.sizeBytes })
      if (errno === 0) {
        results.push({ status: 'fulfilled', volume, value: undefined })
        continue
      }
      pool.ids.free(id)
      results.push({ status: 'rejected', volume, reason: await snapshotRefused(pool, id, origin.id, errno, signal) })
    }
  }
  return results
}

async function createSnaps(pool: PoolContext, originId: number, count: number, signal?: AbortSignal) {
  const ids = await pool.ids.take(count, signal)
  const ownPrefix = volumeUuidPrefix(pool.device)
  const request = { pool: pool.device, poolName: pool.name, ownPrefix, originUuid: ownPrefix + originId, originId, ids }
  try {
    return (await explained(pool, pool.port.snapshot(request, signal))).items
  } catch (fault) {
    for (const id of ids) pool.ids.free(id)
    throw fault
  }
}

/** The status of many volumes in one trip to the kernel's side. */
export async function statusMany(
  pool: PoolContext,
  volumes: readonly ThinVolume[],
  signal?: AbortSignal,
): Promise<VolumeResult<VolumeStatus>[]> {
  checkVolumes(pool, volumes)
  const ids = Uint32Array.from(volumes, volume => volume.id)
  const lines = (await pool.port.statusMany(volumeUuidPrefix(pool.device), ids, signal)).split('\n')
  const results: VolumeResult<VolumeStatus>[] = []
  for (const [index, volume] of volumes.entries()) {
    const [, errno, length, parameters] = STATUS_LINE.exec(lines[index]!)!
    if (errno === '0') {
      results.push({ status: 'fulfilled', volume, value: volumeStatus(parameters!, Number(length)) })
      continue
    }
    // Inactive, or activated by another program under a uuid of its own: the single question gives the exact answer.
    const single = await volume.status(signal ? { signal } : {}).then(
      value => ({ status: 'fulfilled' as const, volume, value }),
      (reason: DmThinError) => ({ status: 'rejected' as const, volume, reason }),
    )
    results.push(single)
  }
  return results
}

/** A line of the port's statusMany. */
const STATUS_LINE = /^(\d+) (\d+) (.*)$/
