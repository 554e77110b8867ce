// Bookmark files without a pool.
import type { MappedRange } from '../../../lib/metadata/ranges.js'
import { BookmarkFile, writeBookmark } from '../../../lib/pool/bookmark/file.js'
import type { BookmarkHeader } from '../../../lib/pool/bookmark/format.js'
import type { Random } from '../random/random.js'
import { collect } from './collect.js'

export const HEADER: BookmarkHeader = {
  pool: 'images',
  start: 'DMTHIN-POOL-1',
  volume: 7,
  time: 1000,
  creationTime: 1000,
  mappedBlocks: 0,
  snapshottedTime: 1000,
  transactionId: '18446744073709551615',
  dataBlockBytes: 65536,
}

export async function* each<T>(items: Iterable<T>): AsyncGenerator<T, void> {
  yield* items
}

/** Writes a bookmark file, and returns its length. */
export const write = (file: string, ranges: Iterable<MappedRange>, header = HEADER): Promise<number> =>
  writeBookmark(file, header, each(ranges), undefined)

export async function readAll(file: string): Promise<MappedRange[]> {
  const opened = await BookmarkFile.open(file, undefined)
  try {
    return await collect(opened.ranges(undefined))
  } finally {
    await opened.close()
  }
}

export function randomRanges(random: Random, count: number): MappedRange[] {
  const ranges: MappedRange[] = []
  let begin = 0
  for (let at = 0; at < count; at++) {
    begin += random.chance(50) ? 0 : random.below(random.pick([3, 1000, 2 ** 30]))
    const length = 1 + random.below(random.pick([1, 4, 100_000]))
    const data = random.below(random.pick([100, 2 ** 30])) * random.pick([1, 1000])
    ranges.push({ begin, length, data, time: random.below(random.pick([1, 1000])) })
    begin += length
  }
  return ranges
}
