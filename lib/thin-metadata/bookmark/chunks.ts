// Mapped ranges as compressed chunks. A chunk has a column for each field, and a field is stored as its difference from
// what the range before suggests: of a run of equal ranges each column is a run of equal bytes, which deflate shortens.
import { promisify } from 'node:util'
import { deflateRaw, inflateRaw } from 'node:zlib'
import type { MappedRange } from '../../metadata/ranges.js'

/** The maximum number of ranges in a chunk. */
export const CHUNK_RANGES = 8192
/** The number of ranges that follow in the chunk, and its compressed bytes. */
export const CHUNK_HEADER_BYTES = 8
const COLUMNS = 4
/** The maximum length of a number: 7 bits in each byte hold 2^53 - 1. */
const NUMBER_BYTES = 8
/** Data blocks have 40 bits, and times 24 (dm-thin-metadata.c pack_block_time). */
const DATA_END = 2 ** 40
const TIME_END = 2 ** 24

const compress = promisify<Buffer, { level: number }, Buffer>(deflateRaw)
const decompress = promisify<Buffer, { maxOutputLength: number }, Buffer>(inflateRaw)

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
  const columns = new NumberWriter(ranges.length * COLUMNS)
  const before = (at: number): Expected => (at === 0 ? first : after(ranges[at - 1]!))
  ranges.forEach(({ begin }, at) => columns.put(begin - before(at).begin))
  ranges.forEach(({ length }) => columns.put(length - 1))
  ranges.forEach(({ data }, at) => columns.put(folded(data - before(at).data)))
  ranges.forEach(({ time }, at) => columns.put(folded(time - before(at).time)))
  const body = await compress(columns.bytes, { level: 6 })
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
    const maxOutputLength = count * COLUMNS * NUMBER_BYTES
    expectThat(length <= 2 * maxOutputLength + 64, `a chunk has ${count} ranges in ${length} bytes`)
    const columns = new NumberReader(await decompress(await source.read(length), { maxOutputLength }))
    const [gaps, lengths, data, times] = Array.from({ length: COLUMNS }, () => columns.take(count)) as [
      number[],
      number[],
      number[],
      number[],
    ]
    expectThat(columns.isAtEnd, 'a chunk has more numbers than ranges')
    for (let at = 0; at < count; at++) {
      const range: MappedRange = {
        begin: expected.begin + gaps[at]!,
        length: lengths[at]! + 1,
        data: expected.data + unfolded(data[at]!),
        time: expected.time + unfolded(times[at]!),
      }
      checkRange(range)
      expected = after(range)
      yield range
    }
  }
}

function checkRange({ begin, length, data, time }: MappedRange): void {
  expectThat(Number.isSafeInteger(begin + length), `a range ends at ${begin + length}`)
  expectThat(data >= 0 && data + length <= DATA_END, `a range has data block ${data}`)
  expectThat(time >= 0 && time < TIME_END, `a range has time ${time}`)
}

function expectThat(is: boolean, text: string): void {
  if (!is) throw new RangeError(text)
}

/** Returns a number without sign: small if `value` is near 0. */
const folded = (value: number): number => (value >= 0 ? 2 * value : -2 * value - 1)
const unfolded = (value: number): number => (value % 2 === 0 ? value / 2 : -(value + 1) / 2)

/** Writes numbers in 7 bits a byte, the low ones first; the eighth bit is set if more follow. */
class NumberWriter {
  readonly #buffer: Buffer
  #at = 0

  constructor(numbers: number) {
    this.#buffer = Buffer.allocUnsafe(numbers * NUMBER_BYTES)
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#at)
  }

  put(value: number): void {
    for (; value >= 0x80; value = Math.floor(value / 0x80)) this.#buffer[this.#at++] = (value % 0x80) | 0x80
    this.#buffer[this.#at++] = value
  }
}

class NumberReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length
  }

  take(count: number): number[] {
    return Array.from({ length: count }, () => this.#next())
  }

  #next(): number {
    let value = 0
    for (let unit = 1; ; unit *= 0x80) {
      const byte = this.#bytes[this.#at++]
      expectThat(byte !== undefined && unit < 0x80 ** NUMBER_BYTES, 'a number has no end')
      value += (byte! & 0x7f) * unit
      if (byte! < 0x80) break
    }
    expectThat(Number.isSafeInteger(value), 'a number is too large')
    return value
  }
}
