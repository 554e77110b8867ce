// The reader of extended headers (POSIX pax), as bytes: values need not be UTF-8 (a capability, a name in any encoding).
// tar-stream decodes them as UTF-8, which loses other bytes, so that extended headers are never passed to it.
import { malformed } from './tar-errors.js'

/** The records `LENGTH KEY=VALUE\n` of an extended header. Values are bytes. Keys have one character for each byte. */
export class PaxRecords {
  readonly #bytes: Buffer
  readonly #last = new Map<string, Place>()
  readonly #pieces: Place[] = []

  /** Throws `DM_LAYER_TAR` if the bytes are not valid records. */
  constructor(bytes: Buffer) {
    this.#bytes = bytes
    // The keys are parts of one string, because a view or a copy of bytes for each record takes ten times as long.
    const text = bytes.toString('latin1')
    for (let at = 0; at < text.length;) {
      const digits = digitsAt(text, at)
      const end = at + Number(text.slice(at, digits))
      const equals = text.indexOf('=', digits + 1)
      const right = text[digits] === ' ' && end <= text.length && equals > digits + 1 && equals < end
      if (!right || text[end - 1] !== '\n') throw malformed('an extended header contains a malformed record')
      const key = text.slice(digits + 1, equals)
      const place = { from: equals + 1, to: end - 1 }
      this.#last.set(key, place)
      if (key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes') this.#pieces.push(place)
      at = end
    }
  }

  /** Returns the keys, in the order of their first records. */
  keys(): IterableIterator<string> {
    return this.#last.keys()
  }

  /** Returns the last value of a key. */
  last(key: string): Buffer | undefined {
    const place = this.#last.get(key)
    return place && this.#bytes.subarray(place.from, place.to)
  }

  /** Returns all values of `GNU.sparse.offset` and `GNU.sparse.numbytes`, the two keys that repeat, in their order. */
  pieces(): Buffer[] {
    return this.#pieces.map(({ from, to }) => this.#bytes.subarray(from, to))
  }
}

interface Place {
  readonly from: number
  readonly to: number
}

export const NO_RECORDS = new PaxRecords(Buffer.alloc(0))

const MAX_DIGITS = 9

/** Returns the end of the number that begins at `at`; `at` if there is none. A number has no leading zeros. */
function digitsAt(text: string, at: number): number {
  let end = at
  while (end < at + MAX_DIGITS && isDigit(text.charCodeAt(end))) end++
  return text[at] === '0' ? at : end
}

const isDigit = (code: number) => code >= 0x30 && code <= 0x39

function octal(header: Buffer, from: number, to: number): number | undefined {
  const text = /^ *([0-7]{1,12})[ \0]*$/.exec(header.toString('latin1', from, to))?.[1]
  return text === undefined ? undefined : Number.parseInt(text, 8)
}

/** Returns the length of the content of an extended header. */
export function lengthOf(header: Buffer): number {
  const length = octal(header, 124, 136)
  if (length === undefined) throw malformed('an extended header has no length')
  return length
}

const SUM_AT = 148
const SUM_END = 156
const BLANK = 0x20

/**
 * Checks the sum of an extended header; tar-stream checks that of the entry's own header. The bytes of the sum itself count
 * as blanks.
 */
export function checkSum(header: Buffer): void {
  let sum = (SUM_END - SUM_AT) * BLANK
  for (let i = 0; i < header.length; i++) if (i < SUM_AT || i >= SUM_END) sum += header[i]!
  if (sum !== octal(header, SUM_AT, SUM_END)) throw malformed('not a tar archive, or damaged: a checksum is wrong')
}

/** The keys that a global header must not have. They would change the content or names of all entries. Images have none. */
const NOT_GLOBAL = /^(path|linkpath|size|GNU\.sparse\..*|SCHILY\.xattr\..*)$/

/** Checks the keys of a global header. */
export function checkGlobal(records: PaxRecords): void {
  for (const key of records.keys()) {
    if (NOT_GLOBAL.test(key)) throw malformed(`a global header has ${key}, which would apply to every entry`)
  }
}

/** Returns the last value of a key, or undefined if it is empty, which cancels the record. */
export function paxValue(records: PaxRecords, key: string): Buffer | undefined {
  const value = records.last(key)
  return value === undefined || value.length === 0 ? undefined : value
}

const XATTR = 'SCHILY.xattr.'

/** Returns the extended attributes. GNU tar writes `=` and `%` in their names as `%3D` and `%25`. */
export function xattrsOf(records: PaxRecords): Map<string, Buffer> {
  const found = new Map<string, Buffer>()
  for (const key of records.keys()) {
    if (!key.startsWith(XATTR)) continue
    const name = key.slice(XATTR.length).replace(/%(3D|25)/gi, (_, code) => (code === '25' ? '%' : '='))
    if (name === '' || name.includes('\0')) throw malformed('an extended attribute has no name')
    found.set(name, records.last(key)!)
  }
  return found
}

export interface FileTime {
  /** The seconds since 1970; negative before 1970. */
  readonly seconds: number
  /** The nanoseconds to add, 0 to 999 999 999. */
  readonly nanoseconds: number
}

/** Parses a time. `-1.25` is -2 s and 750 000 000 ns. Fractions of a nanosecond are ignored. */
export function paxTime(value: Buffer): FileTime {
  const parts = /^(-?)(\d{1,15})(?:\.(\d*))?$/.exec(value.toString('latin1'))
  if (!parts) throw malformed(`${JSON.stringify(value.toString('latin1', 0, 40))} is not a time`)
  const seconds = Number(parts[2])
  const nanoseconds = Number((parts[3] ?? '').slice(0, 9).padEnd(9, '0'))
  if (parts[1] === '') return { seconds, nanoseconds }
  return nanoseconds === 0
    ? { seconds: -seconds, nanoseconds }
    : { seconds: -seconds - 1, nanoseconds: 1e9 - nanoseconds }
}

export function paxNumber(value: Buffer): number {
  const text = value.toString('latin1', 0, 40)
  if (!/^\d{1,16}$/.test(text)) throw malformed(`${JSON.stringify(text)} is not a number`)
  return Number(text)
}
