// The two calls with bookmarks: saving the mappings of a volume, and comparing saved mappings with present ones.
import type { ThinDevice } from '../../metadata/details.js'
import type { DeltaRange, MappedRange } from '../../metadata/ranges.js'
import { changedRanges, cut } from './compare.js'
import { BookmarkFile, writeBookmark } from './file.js'
import { checkComparable, checkNotRolledBack, headerFor, olderThanSnapshot, type PoolState } from './valid.js'

/** A volume whose mappings are saved or compared. */
export interface Bookmarked extends PoolState {
  readonly device: ThinDevice
  readonly mappings: AsyncIterable<MappedRange>
  readonly signal: AbortSignal | undefined
}

export async function saveMappings(
  volume: Bookmarked,
  path: string,
): Promise<{ readonly bytes: number; readonly blocks: number }> {
  const { pool, device, signal } = volume
  const header = headerFor(volume, device, path)
  let blocks = 0
  const counted = async function* (): AsyncGenerator<MappedRange, void> {
    for await (const range of olderThanSnapshot(volume.mappings, header, path)) {
      blocks += range.length
      yield range
    }
    // Before the file gets its name.
    await checkNotRolledBack(pool, path, signal)
  }
  const bytes = await writeBookmark(path, header, counted(), signal)
  return { bytes, blocks }
}

export async function* changedSince(
  volume: Bookmarked,
  path: string,
  span: { readonly from: number; readonly to: number },
): AsyncGenerator<DeltaRange, void> {
  const { pool, mappings, signal } = volume
  const file = await BookmarkFile.open(path, signal)
  try {
    await checkComparable(volume, file.header, path)
    await checkNotRolledBack(pool, path, signal)
    yield* changedRanges(cut(file.ranges(signal), span), mappings)
    await checkNotRolledBack(pool, path, signal)
  } finally {
    await file.close()
  }
}
