// The two calls with bookmarks: saving the mappings of a volume, and comparing saved mappings with present ones.
import { DmThinError } from '../../base/errors.js'
import type { ThinDevice } from '../../metadata/details.js'
import type { DeltaRange, MappedRange } from '../../metadata/ranges.js'
import type { MetadataReads } from '../metadata-read/metadata-reads.js'
import { checkSpan, type Bookmark, type BookmarkOptions, type WalkOptions } from '../metadata-read/walk.js'
import { checkThinId } from '../state/thin-ids.js'
import { changedRanges, cut } from './compare.js'
import { BookmarkFile, writeBookmark } from './file.js'
import { checkComparable, checkNotRolledBack, headerFor, olderThanSnapshot, type PoolState } from './valid.js'

/** Saves the mappings of a volume in a file. */
export async function saveMappings(
  reads: MetadataReads,
  id: number,
  path: string,
  options: BookmarkOptions,
): Promise<Bookmark> {
  const { signal } = options
  const volume = await volumeOf('bookmark', reads, id, signal)
  const header = headerFor(volume, volume.device, path)
  let blocks = 0
  const counted = async function* (): AsyncGenerator<MappedRange, void> {
    for await (const range of olderThanSnapshot(reads.mappings(id, options), header, path)) {
      blocks += range.length
      yield range
    }
    // Before the file gets its name.
    await checkNotRolledBack(volume.pool, path, signal)
  }
  const bytes = await writeBookmark(path, header, counted(), signal)
  return { bytes, blocks }
}

/** Yields the differences from the mappings in a file to those of a volume. */
export async function* changedSince(
  reads: MetadataReads,
  path: string,
  id: number,
  options: WalkOptions,
): AsyncGenerator<DeltaRange, void> {
  const { signal } = options
  const span = checkSpan(options)
  const volume = await volumeOf('changedSince', reads, id, signal)
  const file = await BookmarkFile.open(path, signal)
  try {
    await checkComparable(volume, file.header, path)
    await checkNotRolledBack(volume.pool, path, signal)
    yield* changedRanges(cut(file.ranges(signal), span), reads.mappings(id, options))
    await checkNotRolledBack(volume.pool, path, signal)
  } finally {
    await file.close()
  }
}

async function volumeOf(
  call: string,
  reads: MetadataReads,
  id: number,
  signal: AbortSignal | undefined,
): Promise<PoolState & { readonly device: ThinDevice }> {
  checkThinId(id)
  const { pool } = reads
  if (!pool) throw new DmThinError('DM_UNSUPPORTED', `${call}() needs a running pool: open it with a ThinPool`)
  return { pool, ...(await reads.device(id, signal)) }
}
