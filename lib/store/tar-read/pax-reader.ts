// The extended headers of an archive, byte by byte: values may be anything (a capability, a name in no encoding), and
// tar-stream gives them decoded as UTF-8, which loses what is none. They never reach it: each is parsed once, here.
import { malformed } from './tar-errors.js'

/** Records `LENGTH KEY=VALUE\n`. Keys and values are bytes, one a character in keys. */
export class PaxRecords {
  readonly #bytes: Buffer
  readonly #last = new Map<string, Place>()
  readonly #pieces: Place[] = []

  /** Rejects bytes that are no such records by `DM_LAYER_TAR`. */
  constructor(bytes: Buffer) {
    this.#bytes = bytes
    // One string, of which keys are parts: a view or a copy of bytes for each record takes ten times as long.
    const text = bytes.toString('latin1')
    for (let at = 0; at < text.length;) {
      const digits = digitsAt(text, at)
      const end = at + Number(text.slice(at, digits))
      const equals = text.indexOf('=', digits + 1)
      const right = text[digits] === ' ' && end <= text.length && equals > digits + 1 && equals < end
      if (!right || text[end - 1] !== '\n') throw malformed('an extended header has a record that is none')
      const key = text.slice(digits + 1, equals)
      const place = { from: equals + 1, to: end - 1 }
      this.#last.set(key, place)
      if (key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes') this.#pieces.push(place)
      at = end
    }
  }

  /** In the order in which they came first. */
  keys(): IterableIterator<string> {
    return this.#last.keys()
  }

  /** The last value of a key. */
  last(key: string): Buffer | undefined {
    const place = this.#last.get(key)
    return place && this.#bytes.subarray(place.from, place.to)
  }

  /** All values of `GNU.sparse.offset` and `GNU.sparse.numbytes`, in their order: the two keys that repeat. */
  pieces(): Buffer[] {
    return this.#pieces.map(({ from, to }) => this.#bytes.subarray(from, to))
  }
}

interface Place {
  readonly from: number
  readonly to: number
}

export const NO_RECORDS = new PaxRecords(Buffer.alloc(0))

const MOST_DIGITS = 9

/** Where the digits end that begin at `at` and are a number without zeros in front; `at` if there are none. */
function digitsAt(text: string, at: number): number {
  let end = at
  while (end < at + MOST_DIGITS && isDigit(text.charCodeAt(end))) end++
  return text[at] === '0' ? at : end
}

const isDigit = (code: number) => code >= 0x30 && code <= 0x39

function octal(header: Buffer, from: number, to: number): number | undefined {
  const text = /^ *([0-7]{1,12})[ \0]*$/.exec(header.toString('latin1', from, to))?.[1]
  return text === undefined ? undefined : Number.parseInt(text, 8)
}

/** Of a header in front of an entry. */
export function lengthOf(header: Buffer): number {
  const length = octal(header, 124, 136)
  if (length === undefined) throw malformed('a header in front of an entry has no length')
  return length
}

const SUM_AT = 148
const SUM_END = 156
const BLANK = 0x20

/** Of a header in front of an entry; tar-stream checks the entry's own. The sum takes its own bytes for blanks. */
export function checkSum(header: Buffer): void {
  let sum = (SUM_END - SUM_AT) * BLANK
  for (let i = 0; i < header.length; i++) if (i < SUM_AT || i >= SUM_END) sum += header[i]!
  if (sum !== octal(header, SUM_AT, SUM_END)) throw malformed('the archive is none, or damaged: a sum is wrong')
}

/** What stands for all entries would move their content or their names; images have none of that. */
const NOT_GLOBAL = /^(path|linkpath|size|GNU\.sparse\..*|SCHILY\.xattr\..*)$/

export function checkGlobal(records: PaxRecords): void {
  for (const key of records.keys()) {
    if (NOT_GLOBAL.test(key)) throw malformed(`a global header has ${key}, which would stand for every entry`)
  }
}

/** The last value of a key; an empty one cancels the entry's own header. */
export function paxValue(records: PaxRecords, key: string): Buffer | undefined {
  const value = records.last(key)
  return value === undefined || value.length === 0 ? undefined : value
}

const XATTR = 'SCHILY.xattr.'

/** Extended attributes. GNU tar writes `=` and `%` of their names as `%3D` and `%25`. */
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
  /** Since 1970; before it, negative. */
  readonly seconds: number
  /** 0 to 999 999 999, to be added. */
  readonly nanoseconds: number
}

/** `-1.25` is -2 s and 750 000 000 ns. What is finer than a nanosecond is left out. */
export function paxTime(value: Buffer): FileTime {
  const parts = /^(-?)(\d{1,15})(?:\.(\d*))?$/.exec(value.toString('latin1'))
  if (!parts) throw malformed(`${JSON.stringify(value.toString('latin1', 0, 40))} is no time`)
  const seconds = Number(parts[2])
  const nanoseconds = Number((parts[3] ?? '').slice(0, 9).padEnd(9, '0'))
  if (parts[1] === '') return { seconds, nanoseconds }
  return nanoseconds === 0
    ? { seconds: -seconds, nanoseconds }
    : { seconds: -seconds - 1, nanoseconds: 1e9 - nanoseconds }
}

export function paxNumber(value: Buffer): number {
  const text = value.toString('latin1', 0, 40)
  if (!/^\d{1,16}$/.test(text)) throw malformed(`${JSON.stringify(text)} is no number`)
  return Number(text)
}
