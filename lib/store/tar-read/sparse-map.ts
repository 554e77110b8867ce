// The maps of sparse files: the places of the stored pieces in the file. There are old GNU headers, and three formats of GNU
// tar in extended headers.
import { malformed } from './tar-errors.js'
import { paxNumber, paxValue, type PaxRecords } from './pax-reader.js'
import { BLOCK_BYTES, type TarReader } from './tar-reader.js'

export interface SparseMap {
  /** Alternating offsets and lengths of the pieces, ascending, in bytes. Holes are between the pieces. */
  readonly pieces: readonly number[]
  readonly sizeBytes: number
  /** The length of the map itself in the stored content. */
  readonly mapBytes: number
}

/** The limit for pieces of a map. */
const MAX_PIECES = 1_000_000
/** The limit for digits of a number: fifteen digits are always a safe integer. */
const MAX_DIGITS = 15
const NUMBER = new RegExp(`^\\d{1,${MAX_DIGITS}}$`)

const notNumbers = () => malformed('the map of a sparse file contains something other than numbers')

function checked(pieces: readonly number[], sizeBytes: number, storedBytes: number, mapBytes: number): SparseMap {
  if (pieces.length % 2 !== 0 || pieces.length > 2 * MAX_PIECES) throw malformed('a sparse file has an invalid map')
  let end = 0
  let stored = 0
  for (let i = 0; i < pieces.length; i += 2) {
    const [offset, length] = [pieces[i]!, pieces[i + 1]!]
    if (offset < end) throw malformed('the pieces of a sparse file overlap')
    end = offset + length
    stored += length
  }
  if (!Number.isSafeInteger(sizeBytes) || end > sizeBytes) throw malformed('a sparse file is shorter than its pieces')
  if (stored !== storedBytes - mapBytes) throw malformed('a sparse file has more or less content than its map')
  return { pieces, sizeBytes, mapBytes }
}

/** Returns whether the extended headers describe a sparse file. */
export const isPaxSparse = (records: PaxRecords): boolean => {
  for (const key of records.keys()) if (key.startsWith('GNU.sparse.')) return true
  return false
}

export async function paxSparse(records: PaxRecords, storedBytes: number, reader: TarReader): Promise<SparseMap> {
  const number = (key: string) => {
    const value = paxValue(records, key)
    return value === undefined ? undefined : paxNumber(value)
  }
  const size = number('GNU.sparse.realsize') ?? number('GNU.sparse.size')
  if (size === undefined) throw malformed('a sparse file has no size')
  const major = number('GNU.sparse.major')
  if (major === 1) return storedMap(size, storedBytes, reader)
  if (major !== undefined && major !== 0) throw malformed(`sparse files of version ${major} are not supported`)
  const map = paxValue(records, 'GNU.sparse.map')
  const pieces = map ? numbersOf(map.toString('latin1').split(',')) : records.pieces().map(paxNumber)
  return checked(pieces, size, storedBytes, 0)
}

function numbersOf(texts: readonly string[]): number[] {
  return texts.map(each => {
    if (!NUMBER.test(each)) throw notNumbers()
    return Number(each)
  })
}

/**
 * Reads the map of version 1.0, which precedes the content: one number in each line, the first of which is the number of
 * pieces. It is read block by block, so that a map of a million pieces does not block the event loop, and an invalid map is
 * not read to its end.
 */
async function storedMap(size: number, storedBytes: number, reader: TarReader): Promise<SparseMap> {
  const pieces: number[] = []
  let wanted: number | undefined
  let mapBytes = 0
  for (let rest = ''; pieces.length !== wanted;) {
    if (mapBytes + BLOCK_BYTES > storedBytes) throw malformed('the map of a sparse file does not end')
    const block = await reader.exactly(BLOCK_BYTES)
    if (block === undefined) throw malformed('the archive is cut off: it ends within the map of a sparse file')
    mapBytes += BLOCK_BYTES
    const lines = (rest + block.toString('latin1')).split('\n')
    rest = lines.pop()!
    wanted ??= 2 * countOf(lines.shift())
    for (const number of numbersOf(lines.slice(0, wanted - pieces.length))) pieces.push(number)
    if (pieces.length < wanted && rest.length > MAX_DIGITS) throw notNumbers()
  }
  return checked(pieces, size, storedBytes, mapBytes)
}

function countOf(line: string | undefined): number {
  const count = line !== undefined && /^\d{1,7}$/.test(line) ? Number(line) : NaN
  if (count <= MAX_PIECES) return count
  throw line === undefined ? notNumbers() : malformed('a sparse file has an invalid map')
}

/** Reads the map of old GNU headers (typeflag S): four pieces in the header, and 21 in each extension block. */
export async function gnuSparse(header: Buffer, storedBytes: number, reader: TarReader): Promise<SparseMap> {
  const pieces: number[] = []
  takePieces(header, 386, 4, pieces)
  for (let more = header[482] === 1; more;) {
    const block = await reader.exactly(BLOCK_BYTES)
    if (block === undefined) throw malformed('the archive is cut off: it ends within the map of a sparse file')
    takePieces(block, 0, 21, pieces)
    if (pieces.length > 2 * MAX_PIECES) throw malformed('a sparse file has an invalid map')
    more = block[504] === 1
  }
  return checked(pieces, gnuNumber(header, 483), storedBytes, 0)
}

function takePieces(block: Buffer, from: number, most: number, pieces: number[]): void {
  for (let at = from; at < from + most * 24; at += 24) {
    if (block[at + 12] === 0) return
    pieces.push(gnuNumber(block, at), gnuNumber(block, at + 12))
  }
}

/** Reads a number of twelve bytes: octal digits, or, if the first bit is set, base 256. */
function gnuNumber(block: Buffer, at: number): number {
  if (block[at] === 0x80) {
    const value = block.readUIntBE(at + 4, 2) * 2 ** 48 + block.readUIntBE(at + 6, 6)
    if (block.readUInt32BE(at) === 0x80000000 && Number.isSafeInteger(value)) return value
    throw malformed('a sparse file has a number that is too large')
  }
  const text = /^ *([0-7]{1,12})[ \0]*$/.exec(block.toString('latin1', at, at + 12))?.[1]
  if (text === undefined) throw malformed('a sparse file has an invalid number')
  return Number.parseInt(text, 8)
}
