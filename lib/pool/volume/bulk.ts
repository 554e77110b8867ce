// Concurrent calls on many volumes.
import { checkNumber, invalid, signalOption } from '../../base/options.js'
import { MAX_THIN_ID, sectorsToBytes } from '../../base/units.js'
import { STATUS_NUMBERS, THIN_STATE } from '../../kernel/port/pool-port.js'
import { DmThinError, ERRNO } from '../../base/errors.js'
import { checkVolumes, inBatches, type ManyOptions, type VolumeResult } from './batch.js'
import { changePoolEach } from '../state/commit-point.js'
import {
  activationGuard,
  isNamedByVolumes,
  isUp,
  removalGuard,
  volumeUuidPrefix,
  type PoolContext,
} from '../state/context.js'
import { externalOriginsOf } from './external-origin.js'
import { admitted } from '../state/space-reserve.js'
import { withSharedLock } from '../state/locks.js'
import type { CountCompleted } from '../state/snapshot-clock.js'
import { recordDeleted, recordNew, recordWritable } from './recorded.js'
import { sendSnapshots, snapshotRefused } from './snapshot-error.js'
import type { VolumeStatus } from '../state/status.js'
import { ThinVolume } from './thin-volume.js'
import { checkThinId } from '../state/thin-ids.js'
import { message } from '../../target/messages.js'

/** Activates all volumes. The number of native threads limits how many are in the kernel at a time. */
export async function activateMany(
  pool: PoolContext,
  volumes: readonly ThinVolume[],
  options: ManyOptions,
  readOnly: boolean,
): Promise<VolumeResult[]> {
  checkVolumes(pool, volumes)
  const originOf = await externalOriginsOf(pool, volumes, options.signal)
  const unchecked = volumes.every(volume => volume.state.unchecked)
  if (!readOnly)
    await recordWritable(
      pool,
      volumes.map(({ id }) => id),
    )
  return inBatches(pool, volumes, options, {
    prepare: volume => activateRequest(volume, readOnly, originOf),
    send: (requests, batch) =>
      withSharedLock(pool, batch.signal, () =>
        pool.port.activateMany(activationGuard(pool, unchecked), requests, batch),
      ),
    settle: (volume, outcome, request) => volume.state.activated(request, outcome),
  })
}

function activateRequest({ state }: ThinVolume, readOnly: boolean, originOf: (path: string) => string) {
  const origin = state.externalOrigin && originOf(state.externalOrigin)
  return state.activateRequest(state.name, state.sizeFor(), readOnly, origin)
}

/** Deactivates all volumes. */
export function deactivateMany(
  pool: PoolContext,
  volumes: readonly ThinVolume[],
  options: ManyOptions,
  limitMs: number,
): Promise<VolumeResult[]> {
  const started = performance.now()
  checkVolumes(pool, volumes)
  const guard = removalGuard(pool, !volumes.every(volume => volume.state.isOwnNow))
  return inBatches(pool, volumes, options, {
    prepare: volume => volume.state.removed,
    send: (removed, batch) => pool.port.deactivateMany(guard, removed, limitMs, batch),
    settle: (volume, outcome) => volume.state.deactivated(outcome, started),
  })
}

/** Deletes all volumes, with one native call per batch: the kernel processes one message at a time. */
export function deleteMany(
  pool: PoolContext,
  volumes: readonly ThinVolume[],
  options: ManyOptions,
): Promise<VolumeResult[]> {
  return inBatches(pool, volumes, options, {
    prepare: ({ id }) => ({ id, text: message.delete(id) }),
    send: async (requests, batch) => {
      const texts = requests.map(({ text }) => text)
      const outcomes = await changePoolEach(pool, texts, batch)
      await recordDeleted(
        pool,
        requests.filter((_, at) => typeof outcomes[at] === 'number').map(({ id }) => id),
      )
      return outcomes
    },
    settle: (volume, outcome) => volume.state.deleted(outcome),
  })
}

/** Snapshots under one suspend of their origin. */
const SNAPSHOTS = 32

/** Checks the number of snapshots, or the list of their ids. */
export function checkWanted(wanted: unknown): void {
  if (typeof wanted !== 'object') checkNumber('wanted', wanted, { min: 1, max: MAX_THIN_ID })
  else if (Array.isArray(wanted)) wanted.forEach(checkThinId)
  else throw invalid('wanted must be a number or a list of ids')
}

/**
 * Creates snapshots in chunks: one suspend of the origin, the snapshots, one resume. Repeats a chunk only for ids that
 * were in use.
 */
export async function snapshotMany(
  pool: PoolContext,
  origin: ThinVolume,
  wanted: number | readonly number[],
  signal?: AbortSignal,
): Promise<VolumeResult[]> {
  checkVolumes(pool, [origin])
  const count = typeof wanted === 'number' ? wanted : wanted.length
  const send = (completed: CountCompleted) => snapshotChunks(pool, origin, wanted, completed, signal)
  return admitted(pool, count, send)
}

async function snapshotChunks(
  pool: PoolContext,
  origin: ThinVolume,
  wanted: number | readonly number[],
  completed: CountCompleted,
  signal?: AbortSignal,
): Promise<VolumeResult[]> {
  const results: VolumeResult[] = []
  for (const chunk of chunksOf(wanted)) {
    try {
      results.push(...(await snapshotChunk(pool, origin, chunk, completed, signal)))
    } catch (reason) {
      if (results.length === 0 || !(reason instanceof DmThinError)) throw reason
      const ids = typeof chunk === 'number' ? await pool.ids.take(chunk) : chunk
      for (const id of ids) {
        pool.ids.free(id)
        results.push({ status: 'rejected', volume: copyOf(pool, origin, id), reason })
      }
    }
  }
  return results
}

function chunksOf(wanted: number | readonly number[]): (number | readonly number[])[] {
  const count = typeof wanted === 'number' ? wanted : wanted.length
  const starts = Array.from({ length: Math.ceil(count / SNAPSHOTS) }, (_, chunk) => chunk * SNAPSHOTS)
  return starts.map(at =>
    typeof wanted === 'number' ? Math.min(SNAPSHOTS, count - at) : wanted.slice(at, at + SNAPSHOTS),
  )
}

const copyOf = (pool: PoolContext, { id: origin, sizeBytes, externalOrigin }: ThinVolume, id: number): ThinVolume =>
  new ThinVolume(pool, { id, sizeBytes, externalOrigin, origin })

async function snapshotChunk(
  pool: PoolContext,
  origin: ThinVolume,
  wanted: number | readonly number[],
  completed: CountCompleted,
  signal?: AbortSignal,
): Promise<VolumeResult[]> {
  const given = typeof wanted === 'number' ? undefined : wanted
  const results: VolumeResult[] = []
  for (let missing = given?.length ?? (wanted as number); missing > 0;) {
    const items = await createSnaps(pool, origin, given ?? missing, signal)
    missing = 0
    for (const item of items) {
      const { id, errno } = item
      if (errno === ERRNO.EEXIST && !given) {
        // Another process created this id. It stays marked as used, so each round has fewer ids to try and the rounds
        // end.
        missing += 1
        continue
      }
      const volume = copyOf(pool, origin, id)
      if (errno === 0) {
        volume.state.snapshotTime = completed()
        results.push({ status: 'fulfilled', volume, value: undefined })
        continue
      }
      pool.ids.free(id)
      results.push({ status: 'rejected', volume, reason: await snapshotRefused(pool, item, origin.id, signal) })
    }
  }
  await recordNew(
    pool,
    results.flatMap(({ status, volume }) => (status === 'fulfilled' ? [volume.state.recorded] : [])),
  )
  return results
}

async function createSnaps(
  pool: PoolContext,
  origin: ThinVolume,
  wanted: number | readonly number[],
  signal?: AbortSignal,
) {
  const ids = typeof wanted === 'number' ? await pool.ids.take(wanted, signal) : wanted
  ids.forEach(id => pool.ids.use(id))
  try {
    return await sendSnapshots(pool, origin.state.snapshotRequest(ids), signal)
  } catch (fault) {
    for (const id of ids) pool.ids.free(id)
    throw fault
  }
}

/** Returns the status of many volumes with one native call. */
export async function statusMany(
  pool: PoolContext,
  volumes: readonly ThinVolume[],
  signal?: AbortSignal,
): Promise<VolumeResult<VolumeStatus>[]> {
  checkVolumes(pool, volumes)
  // Counted loops: in code that is not yet compiled, iterators take a third of the time of this function.
  const ids = new Uint32Array(volumes.length)
  for (let index = 0; index < ids.length; index++) ids[index] = volumes[index]!.id
  const [up, numbers] = await Promise.all([
    isNamedByVolumes(pool) || isUp(pool, signal),
    pool.port.statusMany(volumeUuidPrefix(pool), ids, signal),
  ])
  const results: VolumeResult<VolumeStatus>[] = []
  for (let index = 0; index < volumes.length; index++) {
    const volume = volumes[index]!
    const value = up ? statusIn(numbers, STATUS_NUMBERS * index) : undefined
    if (value) {
      results.push({ status: 'fulfilled', volume, value })
      continue
    }
    // The volume is inactive, or another program activated it under a different uuid: a single query returns the exact
    // answer.
    const single = await volume.status(signalOption(signal)).then(
      value => ({ status: 'fulfilled' as const, volume, value }),
      (reason: DmThinError) => ({ status: 'rejected' as const, volume, reason }),
    )
    results.push(single)
  }
  return results
}

/** Returns the status of one volume in the result of the port's `statusMany`; undefined if it has to be asked for. */
function statusIn(numbers: Float64Array, at: number): VolumeStatus | undefined {
  const sizeBytes = sectorsToBytes(numbers[at + 1]!)
  switch (numbers[at]) {
    case THIN_STATE.active: {
      const highest = numbers[at + 3]!
      const highestMappedByte = highest < 0 ? null : sectorsToBytes(highest + 1) - 1
      return { state: 'active', sizeBytes, mappedBytes: sectorsToBytes(numbers[at + 2]!), highestMappedByte }
    }
    case THIN_STATE.fail:
      return { state: 'fail', sizeBytes, mappedBytes: undefined, highestMappedByte: undefined }
    case THIN_STATE.error:
      return { state: 'error', sizeBytes, mappedBytes: undefined, highestMappedByte: undefined }
    default:
      return undefined
  }
}
