// The extended headers of an archive, byte by byte: values may be anything (a capability, a name in no encoding), and
// tar-stream gives them decoded as UTF-8, which loses what is none.
import { malformed } from './tar-failure.js'
import { BLOCK_BYTES, padding } from './tar-reader.js'

/** `LENGTH KEY=VALUE\n`, in their order. Keys and values are bytes, one a character in keys. */
export type PaxRecords = readonly (readonly [key: string, value: Buffer])[]

const SPACE = 0x20
const NEWLINE = 0x0a
const EQUALS = 0x3d
/** Typeflags of the headers that say something of the next entry, or of all that follow. */
const EXTENDED = 0x78
const GLOBAL = 0x67

export function parsePax(bytes: Buffer): PaxRecords {
  const records: [string, Buffer][] = []
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(SPACE, at)
    const digits = space < 0 ? '' : bytes.toString('latin1', at, space)
    const end = /^[1-9]\d{0,8}$/.test(digits) ? at + Number(digits) : 0
    const equals = bytes.indexOf(EQUALS, space + 1)
    if (end > bytes.length || equals <= space + 1 || equals >= end || bytes[end - 1] !== NEWLINE) {
      throw malformed('an extended header has a record that is none')
    }
    records.push([bytes.toString('latin1', space + 1, equals), bytes.subarray(equals + 1, end - 1)])
    at = end
  }
  return records
}

/** Of a header in front of an entry. tar-stream has read it by the same number and refused what is too large. */
function lengthOf(header: Buffer): number {
  const text = /^ *([0-7]{1,12})[ \0]*$/.exec(header.toString('latin1', 124, 136))?.[1]
  if (text === undefined) throw malformed('a header in front of an entry has no length')
  return Number.parseInt(text, 8)
}

/** What stands for all entries would move their content or their names; images have none of that. */
const NOT_GLOBAL = /^(path|linkpath|size|GNU\.sparse\..*|SCHILY\.xattr\..*)$/

/** The records of the last extended header among the headers in front of an entry; the entry's own is the last block. */
export function paxOf(headers: Buffer): PaxRecords {
  let records: PaxRecords = []
  let at = 0
  while (at < headers.length - BLOCK_BYTES) {
    const header = headers.subarray(at, at + BLOCK_BYTES)
    const length = lengthOf(header)
    const begin = at + BLOCK_BYTES
    at = begin + length + padding(length)
    if (header[156] === EXTENDED) records = parsePax(headers.subarray(begin, begin + length))
    if (header[156] === GLOBAL) {
      const odd = parsePax(headers.subarray(begin, begin + length)).find(([key]) => NOT_GLOBAL.test(key))
      if (odd) throw malformed(`a global header has ${odd[0]}, which would stand for every entry`)
    }
  }
  if (at !== headers.length - BLOCK_BYTES)
    throw malformed('the headers in front of an entry do not end where it begins')
  return records
}

/** The last value of a key; an empty one takes back what the entry's own header says. */
export function paxValue(records: PaxRecords, key: string): Buffer | undefined {
  const value = records.filter(record => record[0] === key).at(-1)?.[1]
  return value === undefined || value.length === 0 ? undefined : value
}

const XATTR = 'SCHILY.xattr.'

/** Extended attributes. GNU tar writes `=` and `%` of their names as `%3D` and `%25`. */
export function xattrsOf(records: PaxRecords): Map<string, Buffer> {
  const found = new Map<string, Buffer>()
  for (const [key, value] of records) {
    if (!key.startsWith(XATTR)) continue
    const name = key.slice(XATTR.length).replace(/%(3D|25)/gi, (_, code) => (code === '25' ? '%' : '='))
    if (name === '' || name.includes('\0')) throw malformed('an extended attribute has no name')
    found.set(name, value)
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
