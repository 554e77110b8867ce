// A column of numbers of a chunk in the shorter of two codings: compressed differences for numbers that follow a rule, and
// fields of equal width for numbers that follow none, which no compression shortens.
import { promisify } from 'node:util'
import { deflateRaw, inflateRaw } from 'node:zlib'

/** The coding, the width of a field, the length of what follows, and the lowest number. */
export const COLUMN_HEADER_BYTES = 16
const DEFLATED = 0
const PACKED = 1
/** The maximum length of a difference: 7 bits in each byte hold 2^53 - 1. */
const DIFFERENCE_BYTES = 8
/** The maximum width of a field: data blocks have 40 bits. */
const MAX_WIDTH = 40

const compress = promisify<Buffer, { level: number }, Buffer>(deflateRaw)
const decompress = promisify<Buffer, { maxOutputLength: number }, Buffer>(inflateRaw)

/** A column: its numbers, and what each differs by from the expected one, both not negative. */
export interface Column {
  readonly numbers: readonly number[]
  readonly differences: readonly number[]
}

/** A column that was read. */
export interface ReadColumn {
  readonly isPacked: boolean
  /** Numbers if it is packed, otherwise differences. */
  readonly content: readonly number[]
}

/** Returns the bytes of a column. */
export async function columnBytes({ numbers, differences }: Column): Promise<Buffer> {
  const deflated = await compress(varints(differences), { level: 6 })
  const lowest = numbers.reduce((a, b) => Math.min(a, b))
  const width = widthOf(numbers.reduce((a, b) => Math.max(a, b)) - lowest)
  const isPacked = width <= MAX_WIDTH && packedBytes(numbers.length, width) < deflated.length
  const header = Buffer.alloc(COLUMN_HEADER_BYTES)
  const body = isPacked ? packed(numbers, lowest, width) : deflated
  header.writeUInt8(isPacked ? PACKED : DEFLATED, 0)
  header.writeUInt8(isPacked ? width : 0, 1)
  header.writeUInt32LE(body.length, 4)
  header.writeBigUInt64LE(BigInt(isPacked ? lowest : 0), 8)
  return Buffer.concat([header, body])
}

/**
 * Reads a column of so many numbers, and returns what comes after it too. Throws `RangeError` for a column that is not
 * valid, and what decompression throws.
 */
export async function readColumn(bytes: Buffer, count: number): Promise<{ column: ReadColumn; rest: Buffer }> {
  expectThat(bytes.length >= COLUMN_HEADER_BYTES, 'a column has no header')
  const [coding, width, zero] = [bytes.readUInt8(0), bytes.readUInt8(1), bytes.readUInt16LE(2)]
  const length = bytes.readUInt32LE(4)
  const lowest = Number(bytes.readBigUInt64LE(8))
  const end = COLUMN_HEADER_BYTES + length
  expectThat(zero === 0, 'a column has an unknown header')
  expectThat(end <= bytes.length, `a column has ${length} bytes, more than its chunk`)
  const [body, rest] = [bytes.subarray(COLUMN_HEADER_BYTES, end), bytes.subarray(end)]
  if (coding === PACKED) {
    expectThat(width <= MAX_WIDTH && length === packedBytes(count, width), `a column has ${length} bytes`)
    return { column: { isPacked: true, content: unpacked(body, count, lowest, width) }, rest }
  }
  expectThat(coding === DEFLATED && width === 0 && lowest === 0, `a column has coding ${coding}`)
  const content = await decompress(body, { maxOutputLength: count * DIFFERENCE_BYTES })
  return { column: { isPacked: false, content: differencesIn(content, count) }, rest }
}

/** Returns the maximum length of a column of so many numbers: deflate lengthens what it cannot shorten by little. */
export const maxColumnBytes = (count: number): number => COLUMN_HEADER_BYTES + 2 * count * DIFFERENCE_BYTES + 64

export function expectThat(is: boolean, text: string): void {
  if (!is) throw new RangeError(text)
}

/** Returns the number of bits of the largest number. */
function widthOf(largest: number): number {
  let width = 0
  for (let limit = 1; limit <= largest; limit *= 2) width++
  return width
}

const packedBytes = (count: number, width: number): number => Math.ceil((count * width) / 8)

/** Returns fields of `width` bits, the low bits first. */
function packed(numbers: readonly number[], lowest: number, width: number): Buffer {
  const bytes = Buffer.alloc(packedBytes(numbers.length, width))
  let [at, bits, have] = [0, 0, 0]
  for (const number of numbers) {
    // Fewer than 8 bits are left: 48 bits at most, which a number holds exactly.
    bits += (number - lowest) * 2 ** have
    have += width
    for (; have >= 8; have -= 8) {
      bytes[at++] = bits % 256
      bits = Math.floor(bits / 256)
    }
  }
  if (have > 0) bytes[at] = bits
  return bytes
}

function unpacked(bytes: Buffer, count: number, lowest: number, width: number): number[] {
  const unit = 2 ** width
  let [at, bits, have] = [0, 0, 0]
  return Array.from({ length: count }, () => {
    for (; have < width; have += 8) bits += bytes[at++]! * 2 ** have
    const field = bits % unit
    bits = Math.floor(bits / unit)
    have -= width
    return lowest + field
  })
}

/** Returns numbers in 7 bits a byte, the low ones first; the eighth bit is set if more follow. */
function varints(numbers: readonly number[]): Buffer {
  const bytes = Buffer.allocUnsafe(numbers.length * DIFFERENCE_BYTES)
  let at = 0
  for (const number of numbers) {
    let value = number
    for (; value >= 0x80; value = Math.floor(value / 0x80)) bytes[at++] = (value % 0x80) | 0x80
    bytes[at++] = value
  }
  return bytes.subarray(0, at)
}

function differencesIn(bytes: Buffer, count: number): number[] {
  let at = 0
  const numbers = Array.from({ length: count }, () => {
    let value = 0
    for (let unit = 1; ; unit *= 0x80) {
      const byte = bytes[at++]
      expectThat(byte !== undefined && unit < 0x80 ** DIFFERENCE_BYTES, 'a number has no end')
      value += (byte! & 0x7f) * unit
      if (byte! < 0x80) break
    }
    expectThat(Number.isSafeInteger(value), 'a number is too large')
    return value
  })
  expectThat(at === bytes.length, 'a column has more numbers than ranges')
  return numbers
}
