// The conditions under which saved mappings can be compared with present ones (docs/bookmarks.md explains them).
import { DmThinError } from '../../base/errors.js'
import { SECTOR_BYTES } from '../../base/units.js'
import type { ThinDevice } from '../../metadata/details.js'
import type { MappedRange } from '../../metadata/ranges.js'
import type { Superblock } from '../../metadata/superblock.js'
import { isSinceStart } from '../state/clean-stop.js'
import { isNamedByVolumes, poolStatusLine, type PoolContext } from '../state/context.js'
import { SNAPSHOT_LIMIT } from '../state/snapshot-clock.js'
import { invalidBookmark, type BookmarkHeader } from './format.js'

type Signal = AbortSignal | undefined

/** Metadata that was read, and the pool that it is of. */
export interface PoolState {
  readonly pool: PoolContext
  readonly superblock: Superblock
}

/** Returns the header for the mappings of a volume. Throws `DM_UNSUPPORTED`, `DM_BOOKMARK_INVALID`. */
export function headerFor({ pool, superblock }: PoolState, device: ThinDevice, path: string): BookmarkHeader {
  if (!isNamedByVolumes(pool)) {
    // The uuid of such a pool stays the same at each start.
    const text = `pool ${pool.name} was started by another program: whether it was stopped since cannot be recognised`
    throw new DmThinError('DM_UNSUPPORTED', text, { device: pool.name })
  }
  checkClock(superblock, path)
  return {
    pool: pool.name,
    start: pool.uuid,
    volume: device.id,
    creationTime: device.creationTime,
    mappedBlocks: device.mappedBlocks,
    time: superblock.time,
    snapshottedTime: device.snapshottedTime,
    transactionId: String(superblock.transactionId),
    dataBlockBytes: blockBytes(superblock),
  }
}

/**
 * Yields mappings, and throws `DM_BOOKMARK_INVALID` for one that is not older than the last snapshot: its block may be
 * written in place.
 */
export async function* olderThanSnapshot(
  ranges: AsyncIterable<MappedRange>,
  { volume, snapshottedTime }: BookmarkHeader,
  path: string,
): AsyncGenerator<MappedRange, void> {
  for await (const range of ranges) {
    if (range.time >= snapshottedTime) {
      const text = `volume ${volume} was written after its last snapshot, at block ${range.begin}: bookmark a snapshot of it`
      throw invalidBookmark('written-since-snapshot', path, text)
    }
    yield range
  }
}

/** Rejects with `DM_BOOKMARK_INVALID` if the mappings of a bookmark cannot be compared with this state of the pool. */
export async function checkComparable(
  { pool, superblock }: PoolState,
  header: BookmarkHeader,
  path: string,
): Promise<void> {
  if (!(await isSinceStart(pool, header.start))) {
    const text = `it was made of another pool, or pool ${pool.name} was stopped since, and it is not proved that nothing was lost`
    throw invalidBookmark('pool-start', path, text)
  }
  const bytes = blockBytes(superblock)
  if (header.dataBlockBytes !== bytes) {
    throw invalidBookmark(
      'block-size',
      path,
      `its blocks have ${header.dataBlockBytes} bytes, those of the pool ${bytes}`,
    )
  }
  if (superblock.time < header.time) {
    const text = `the pool's snapshot clock is ${superblock.time}, and was ${header.time}: its metadata is older`
    throw invalidBookmark('metadata-older', path, text)
  }
  checkClock(superblock, path)
}

/**
 * Rejects with `DM_BOOKMARK_INVALID` if the kernel has rolled back a transaction of the pool: discards of it may have
 * reached the data device already.
 */
export async function checkNotRolledBack(pool: PoolContext, path: string, signal: Signal): Promise<void> {
  const line = await poolStatusLine(pool, signal)
  if ('transactionId' in line && !line.needsCheck) return
  throw invalidBookmark('needs-check', path, `pool ${pool.name} has failed, or its metadata needs a check`)
}

/** The kernel corrupts mappings after 2^24 snapshots. */
function checkClock({ time }: Superblock, path: string): void {
  if (time < SNAPSHOT_LIMIT) return
  throw invalidBookmark('clock-limit', path, `the pool has made ${time} snapshots, and times of mappings end at 2^24`)
}

const blockBytes = ({ dataBlockSizeSectors }: Superblock): number => dataBlockSizeSectors * SECTOR_BYTES
