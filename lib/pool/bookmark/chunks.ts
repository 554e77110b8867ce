// Mapped ranges as compressed chunks. A chunk has a column for each field. The difference of a field is that from what the
// range before suggests: of a run of equal ranges all are equal.
import type { MappedRange } from '../../metadata/ranges.js'
import { columnBytes, expectThat, maxColumnBytes, readColumn, type Column, type ReadColumn } from './columns.js'

/** The maximum number of ranges in a chunk. */
export const CHUNK_RANGES = 8192
/** The number of ranges in the chunk, and the bytes that follow. */
export const CHUNK_HEADER_BYTES = 8
const COLUMNS = 4
/** Data blocks have 40 bits, and times 24 (dm-thin-metadata.c pack_block_time). */
const DATA_END = 2 ** 40
const TIME_END = 2 ** 24

/** The position at which the next range is expected. */
interface Expected {
  readonly begin: number
  readonly data: number
  readonly time: number
}

const START: Expected = { begin: 0, data: 0, time: 0 }
const after = ({ begin, length, data, time }: MappedRange): Expected => ({
  begin: begin + length,
  data: data + length,
  time,
})

/** Yields chunks with these ranges, and an empty one at the end. */
export async function* chunksOf(ranges: AsyncIterable<MappedRange>): AsyncGenerator<Buffer, void> {
  let expected = START
  let taken: MappedRange[] = []
  for await (const range of ranges) {
    if (taken.push(range) < CHUNK_RANGES) continue
    yield await chunkOf(taken, expected)
    expected = after(range)
    taken = []
  }
  if (taken.length > 0) yield await chunkOf(taken, expected)
  yield Buffer.alloc(CHUNK_HEADER_BYTES)
}

async function chunkOf(ranges: readonly MappedRange[], first: Expected): Promise<Buffer> {
  const before = (at: number): Expected => (at === 0 ? first : after(ranges[at - 1]!))
  const gaps = ranges.map(({ begin }, at) => begin - before(at).begin)
  const lengths = ranges.map(({ length }) => length - 1)
  const columns: readonly Column[] = [
    { numbers: gaps, differences: gaps },
    { numbers: lengths, differences: lengths },
    {
      numbers: ranges.map(({ data }) => data),
      differences: ranges.map(({ data }, at) => folded(data - before(at).data)),
    },
    {
      numbers: ranges.map(({ time }) => time),
      differences: ranges.map(({ time }, at) => folded(time - before(at).time)),
    },
  ]
  const body = Buffer.concat(await Promise.all(columns.map(columnBytes)))
  const header = Buffer.alloc(CHUNK_HEADER_BYTES)
  header.writeUInt32LE(ranges.length, 0)
  header.writeUInt32LE(body.length, 4)
  return Buffer.concat([header, body])
}

/** The part of a file that has not been read yet. */
export interface ChunkSource {
  /** The number of bytes. */
  readonly left: number
  /** Reads the next bytes. Rejects if there are not as many. */
  read(length: number): Promise<Buffer>
}

/**
 * Yields the ranges in chunks: by ascending block, and without overlap. Throws `RangeError` for chunks that are not
 * valid, and what decompression throws. Holds one chunk in memory.
 */
export async function* rangesIn(source: ChunkSource): AsyncGenerator<MappedRange, void> {
  let expected = START
  for (;;) {
    const header = await source.read(CHUNK_HEADER_BYTES)
    const [count, length] = [header.readUInt32LE(0), header.readUInt32LE(4)]
    if (count === 0) {
      expectThat(length === 0 && source.left === 0, 'the last chunk is not at the end')
      return
    }
    expectThat(count <= CHUNK_RANGES && length <= source.left, `a chunk has ${count} ranges in ${length} bytes`)
    expectThat(length <= COLUMNS * maxColumnBytes(count), `a chunk has ${count} ranges in ${length} bytes`)
    const [gaps, lengths, data, times] = await columnsIn(await source.read(length), count)
    for (let at = 0; at < count; at++) {
      const range: MappedRange = {
        begin: expected.begin + gaps.content[at]!,
        length: lengths.content[at]! + 1,
        data: data.isPacked ? data.content[at]! : expected.data + unfolded(data.content[at]!),
        time: times.isPacked ? times.content[at]! : expected.time + unfolded(times.content[at]!),
      }
      checkRange(range)
      expected = after(range)
      yield range
    }
  }
}

type Columns = readonly [gaps: ReadColumn, lengths: ReadColumn, data: ReadColumn, times: ReadColumn]

async function columnsIn(bytes: Buffer, count: number): Promise<Columns> {
  const columns: ReadColumn[] = []
  let rest = bytes
  while (columns.length < COLUMNS) {
    const read = await readColumn(rest, count)
    columns.push(read.column)
    rest = read.rest
  }
  expectThat(rest.length === 0, 'a chunk has more than its columns')
  return columns as unknown as Columns
}

function checkRange({ begin, length, data, time }: MappedRange): void {
  expectThat(Number.isSafeInteger(begin + length), `a range ends at ${begin + length}`)
  expectThat(data >= 0 && data + length <= DATA_END, `a range has data block ${data}`)
  expectThat(time >= 0 && time < TIME_END, `a range has time ${time}`)
}

/** Returns a number without sign: small if `value` is near 0. */
const folded = (value: number): number => (value >= 0 ? 2 * value : -2 * value - 1)
const unfolded = (value: number): number => (value % 2 === 0 ? value / 2 : -(value + 1) / 2)
