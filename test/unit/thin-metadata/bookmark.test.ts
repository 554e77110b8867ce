// Bookmark files: what is written is read again, sizes, and comparison.
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import type { DeltaRange, MappedRange } from '../../../lib/metadata/ranges.js'
import { CHUNK_RANGES, rangesIn, type ChunkSource } from '../../../lib/pool/bookmark/chunks.js'
import { changedRanges, cut } from '../../../lib/pool/bookmark/compare.js'
import { BookmarkFile, writeBookmark } from '../../../lib/pool/bookmark/file.js'
import type { BookmarkHeader } from '../../../lib/pool/bookmark/format.js'
import { checkComparable } from '../../../lib/pool/bookmark/valid.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { each, HEADER, randomRanges, readAll, write } from '../../helpers/metadata/bookmark-file.js'
import { collect } from '../../helpers/metadata/collect.js'
import { imageDirectory } from '../../helpers/metadata/image.js'
import { seeded } from '../../helpers/random/random.js'

const directory = imageDirectory()
afterAll(() => directory.remove())

const MiB = 2 ** 20
const DIGEST_BYTES = 32

test.each([0, 1, 2, 8191, 8192, 8193, 20_000])('%i ranges are read as they were written', async count => {
  const file = directory.path(`count-${count}`)
  const ranges = randomRanges(seeded(count), count)
  expect(await write(file, ranges)).toBe(statSync(file).size)
  expect(await readAll(file)).toEqual(ranges)
})

test('the extreme values of each field are read as they were written', async () => {
  const file = directory.path('extreme')
  const ranges = [
    { begin: 0, length: 1, data: 2 ** 40 - 1, time: 2 ** 24 - 1 },
    { begin: 1, length: 2 ** 40, data: 0, time: 0 },
    { begin: Number.MAX_SAFE_INTEGER - 1, length: 1, data: 2 ** 40 - 1, time: 2 ** 24 - 1 },
  ]
  await write(file, ranges, { ...HEADER, snapshottedTime: 2 ** 24 })
  expect(await readAll(file)).toEqual(ranges)
})

test('the header is read as it was written', async () => {
  const file = directory.path('header')
  await write(file, [])
  const opened = await BookmarkFile.open(file, undefined)
  expect(opened.header).toEqual(HEADER)
  await opened.close()
})

describe('1 000 000 mappings', () => {
  const MAPPINGS = 1_000_000

  test('take at most 64 KiB in sequence, with an interruption at every 100th', async () => {
    function* sequential(): Generator<MappedRange> {
      let data = 0
      for (let begin = 0; begin < MAPPINGS; begin += 100) {
        yield { begin, length: 100, data, time: 3 }
        data += 100 + ((begin / 100) % 7)
      }
    }
    const bytes = await write(directory.path('sequential'), sequential())
    expect(bytes).toBeLessThan(64 * 1024)
  })

  test('take at most 1 MiB in sequence, each a range of its own', async () => {
    function* single(): Generator<MappedRange> {
      for (let begin = 0; begin < MAPPINGS; begin++) yield { begin, length: 1, data: begin, time: begin % 2 }
    }
    expect(await write(directory.path('single'), single())).toBeLessThan(MiB)
  })

  test.each([16, 1000])('take at most 6 MiB at random over 16 TiB, with times of %i snapshots', async times => {
    const random = seeded(7)
    function* scattered(): Generator<MappedRange> {
      let begin = 0
      for (let at = 0; at < MAPPINGS; at++) {
        begin += 1 + random.below(512)
        yield { begin, length: 1, data: random.below(2 ** 28), time: random.below(times) }
      }
    }
    const bytes = await write(directory.path('scattered'), scattered())
    expect(bytes).toBeGreaterThan(4 * MiB)
    expect(bytes).toBeLessThan(6 * MiB)
  })
})

test('a writer takes one chunk of ranges at a time, and a reader reads one', async () => {
  const folder = directory.path('chunks')
  mkdirSync(folder)
  const file = path.join(folder, 'x')
  const ranges = randomRanges(seeded(5), 4 * CHUNK_RANGES)
  const sizes: number[] = []
  function* watched(): Generator<MappedRange> {
    for (const [at, range] of ranges.entries()) {
      if (at % CHUNK_RANGES === 0) sizes.push(statSync(path.join(folder, readdirSync(folder)[0]!)).size)
      yield range
    }
  }
  const bytes = await write(file, watched())
  expect(sizes).toHaveLength(4)
  // What was taken before is in the file, but for the chunk that is being written.
  expect(sizes[2]!).toBeGreaterThan(sizes[0]!)
  expect(sizes[3]!).toBeGreaterThan(sizes[2]!)

  const content = readFileSync(file)
  let at = 16 + content.readUInt32LE(12)
  const source: ChunkSource = {
    get left() {
      return bytes - DIGEST_BYTES - at
    },
    read: length => Promise.resolve(content.subarray(at, (at += length))),
  }
  const reading = rangesIn(source)
  await reading.next()
  const first = at
  expect(first).toBeLessThan(bytes / 2)
  for (let taken = 1; taken < CHUNK_RANGES; taken++) await reading.next()
  expect(at).toBe(first)
  await reading.next()
  expect(at).toBeGreaterThan(first)
})

/** The changes between two maps, block by block. */
function naive(saved: readonly MappedRange[], present: readonly MappedRange[]): Map<number, DeltaRange['type']> {
  const values = (ranges: readonly MappedRange[]) =>
    new Map(
      ranges.flatMap(({ begin, length, data, time }) =>
        Array.from({ length }, (_, i) => [begin + i, `${data + i} ${time}`] as const),
      ),
    )
  const [left, right] = [values(saved), values(present)]
  const changes = new Map<number, DeltaRange['type']>()
  for (const [block, value] of left) {
    if (!right.has(block)) changes.set(block, 'leftOnly')
    else if (right.get(block) !== value) changes.set(block, 'different')
  }
  for (const block of right.keys()) if (!left.has(block)) changes.set(block, 'rightOnly')
  return changes
}

test('the comparison is that of all blocks one by one, in joined ranges', async () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = seeded(seed)
    const ranges = (): MappedRange[] => {
      const made: MappedRange[] = []
      for (let begin = random.below(4); made.length < 12;) {
        const length = 1 + random.below(6)
        made.push({ begin, length, data: begin + 100 * random.below(2), time: random.below(2) })
        begin += length + random.below(3)
      }
      return made
    }
    const [saved, present] = [ranges(), ranges()]
    const found = await collect(changedRanges(each(saved), each(present)))
    const blocks = found.flatMap(({ type, begin, length }) =>
      Array.from({ length }, (_, i) => [begin + i, type] as const),
    )
    const expected = [...naive(saved, present)].sort(([a], [b]) => a - b)
    expect({ seed, blocks }).toEqual({ seed, blocks: expected })
    found.slice(1).forEach((range, at) => {
      const before = found[at]!
      expect(range.begin > before.begin + before.length || range.type !== before.type).toBe(true)
    })
    const [from, to] = [random.below(20), 10 + random.below(40)]
    const part = await collect(changedRanges(cut(each(saved), { from, to }), cut(each(present), { from, to })))
    expect(part.flatMap(({ begin, length }) => Array.from({ length }, (_, i) => begin + i))).toEqual(
      expected.map(([block]) => block).filter(block => block >= from && block < to),
    )
  }
})

test('a comparison that ends early ends both iterations', async () => {
  const ended: string[] = []
  async function* endless(name: string, offset: number): AsyncGenerator<MappedRange> {
    try {
      for (let begin = 0; ; begin += 2) yield await Promise.resolve({ begin, length: 1, data: begin + offset, time: 0 })
    } finally {
      ended.push(name)
    }
  }
  for await (const { type } of changedRanges(endless('left', 0), endless('right', 1))) {
    expect(type).toBe('different')
    break
  }
  expect(ended.sort()).toEqual(['left', 'right'])
})

test.each<[string, Partial<BookmarkHeader>]>([
  ['pool-start', { start: 'DMTHIN-POOL-2' }],
  ['block-size', { dataBlockBytes: 131072 }],
  ['metadata-older', { time: 2000 }],
])('a bookmark is refused as %s', async (detail, changes) => {
  const pool = { name: 'images', uuid: 'DMTHIN-POOL-1' }
  const superblock = { time: 1500, dataBlockSizeSectors: 128 }
  const state = { pool, superblock } as Parameters<typeof checkComparable>[0]
  await checkComparable(state, HEADER, 'x')
  const fault = await expectCode(checkComparable(state, { ...HEADER, ...changes }, 'x'), 'DM_BOOKMARK_INVALID')
  expect(fault).toMatchObject({ detail })
})

test('a write that fails leaves the file of before, and no other', async () => {
  const folder = directory.path('failing')
  mkdirSync(folder)
  const file = path.join(folder, 'x')
  await write(file, randomRanges(seeded(1), 5))
  const before = readFileSync(file)
  async function* failing(): AsyncGenerator<MappedRange> {
    yield* randomRanges(seeded(2), 9000)
    await Promise.reject(new RangeError('broken'))
  }
  await expect(writeBookmark(file, HEADER, failing(), undefined)).rejects.toThrow(RangeError)
  const aborted = AbortSignal.abort()
  await expectCode(writeBookmark(file, HEADER, each([]), aborted), 'ABORT_ERR')
  await expectCode(BookmarkFile.open(file, aborted), 'ABORT_ERR')
  await expectCode(write(path.join(folder, 'none', 'x'), []), 'DM_FILE_MISSING')
  await expectCode(write(path.join(file, 'x'), []), 'DM_KERNEL')
  expect(readdirSync(folder)).toEqual(['x'])
  expect(readFileSync(file)).toEqual(before)
})
