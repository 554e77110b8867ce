// One entry of an archive: the values of tar-stream and of the extended headers, combined and checked.
import { malformed, readable } from './tar-errors.js'
import type { TarHeader } from '../common/tar-stream.js'
import { paxNumber, paxTime, paxValue, xattrsOf, type FileTime, type PaxRecords } from './pax-reader.js'

/** The types of entries, in the order of `WriteType` of native/tree/write_batch.h. */
export const ENTRY_TYPES = ['file', 'directory', 'symlink', 'link', 'character-device', 'block-device', 'fifo'] as const
type EntryType = (typeof ENTRY_TYPES)[number]

/** An entry. Strings have one character for each byte. */
export interface TarEntry {
  readonly type: EntryType
  /** The parent, such as `a/b` of `a/b/c`; empty for a name in the root. */
  readonly parent: string
  /** The last part of the path; empty for the root itself. */
  readonly name: string
  /** The target of a symbolic link, or the other path of a hard link. */
  readonly link: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly major: number
  readonly minor: number
  readonly modified: FileTime
  readonly accessed: FileTime
  readonly xattrs: ReadonlyMap<string, Buffer>
  /** The length of the content that follows in the archive. */
  readonly storedBytes: number
}

/** The typeflag of a sparse file of old GNU tar, for which tar-stream has no name. */
const GNU_SPARSE = 0x53
export const isGnuSparse = (header: Buffer): boolean => header[156] === GNU_SPARSE

const ENAMETOOLONG = 36

/** The attribute that is ignored: SELinux labels belong to the machine, and not to the layer. */
const NOT_OURS = 'security.selinux'

export function entryOf(header: TarHeader, block: Buffer, records: PaxRecords): TarEntry {
  const text = (key: string) => paxValue(records, key)?.toString('latin1')
  const path = text('GNU.sparse.name') ?? text('path') ?? header.name
  const type = typeOf(header, block, path)
  const number = (key: string, own: number) => {
    const value = paxValue(records, key)
    return value === undefined ? own : paxNumber(value)
  }
  const time = (key: string) => {
    const value = paxValue(records, key)
    return value === undefined ? undefined : paxTime(value)
  }
  const modified = time('mtime') ?? timeOf(header, block)
  const link = linkOf(type, text('linkpath') ?? header.linkname ?? '', path)
  const xattrs = xattrsOf(records)
  xattrs.delete(NOT_OURS)
  const device = type === 'character-device' || type === 'block-device'
  return {
    type,
    ...splitPath(path),
    link,
    mode: header.mode & 0o7777,
    uid: checkedNumber(number('uid', header.uid), 0xfffffffe, 'user', path),
    gid: checkedNumber(number('gid', header.gid), 0xfffffffe, 'group', path),
    major: device ? checkedNumber(header.devmajor, 0xfff, 'device', path) : 0,
    minor: device ? checkedNumber(header.devminor, 0xfffff, 'device', path) : 0,
    modified,
    accessed: time('atime') ?? modified,
    xattrs,
    storedBytes: type === 'file' ? storedBytes(header, records, path) : 0,
  }
}

function typeOf(header: TarHeader, block: Buffer, path: string): EntryType {
  if (header.type === 'contiguous-file' || isGnuSparse(block)) return 'file'
  const known = ENTRY_TYPES.find(type => type === header.type)
  if (known) return known
  const flag = JSON.stringify(String.fromCharCode(block[156]!))
  throw malformed(`entry ${readable(path)} has a type that layers do not have (typeflag ${flag})`)
}

function checkedNumber(value: number, most: number, what: string, path: string): number {
  if (Number.isSafeInteger(value) && value >= 0 && value <= most) return value
  throw malformed(`entry ${readable(path)} has a ${what} number that is out of range`)
}

function storedBytes(header: TarHeader, records: PaxRecords, path: string): number {
  const said = paxValue(records, 'size')
  return checkedNumber(said ? paxNumber(said) : header.size, Number.MAX_SAFE_INTEGER, 'size', path)
}

function timeOf(header: TarHeader, block: Buffer): FileTime {
  const seconds = header.mtime.getTime() / 1000
  if (!Number.isSafeInteger(seconds)) throw malformed(`entry ${readable(header.name)} has a time that is out of range`)
  // For times before 1970 in base 256, tar-stream uses the one's complement, so that its value is one too high.
  return { seconds: block[136] === 0xff ? seconds - 1 : seconds, nanoseconds: 0 }
}

function linkOf(type: EntryType, link: string, path: string): string {
  if (type === 'symlink') {
    if (link === '' || link.includes('\0'))
      throw malformed(`entry ${readable(path)} is a symbolic link without a valid target`)
    checkLength(link, path)
    return link
  }
  if (type !== 'link') return ''
  const { parent, name } = splitPath(link)
  if (name === '') throw malformed(`entry ${readable(path)} is a hard link without a target`)
  return joined(parent, name)
}

function checkLength(text: string, path: string): void {
  if (text.length <= MAX_PATH_BYTES) return
  const message = `entry ${readable(path.slice(0, 80))} has a name of more than ${MAX_PATH_BYTES} bytes`
  throw malformed(message, { errno: ENAMETOOLONG })
}

export const joined = (parent: string, name: string): string => (parent === '' ? name : `${parent}/${name}`)

/** The limit of the kernel (PATH_MAX, which includes a NUL). */
const MAX_PATH_BYTES = 4095

/** An empty part, `.` or `..`, at the beginning, between two slashes or at the end. */
const ODD_PART = /(?:^|\/)\.{0,2}(?:\/|$)/

/**
 * Splits a path into parent and name. A leading `/` and empty parts are ignored, as by other readers of archives. `..` is
 * rejected, even if the path stays inside the root.
 */
export function splitPath(path: string): { parent: string; name: string } {
  if (path.includes('\0')) throw malformed(`entry ${readable(path)} has a NUL in its name`)
  checkLength(path, path)
  let plain = path
  if (ODD_PART.test(path)) {
    const parts = path.split('/').filter(part => part !== '' && part !== '.')
    if (parts.includes('..')) throw malformed(`entry ${readable(path)} has ".." in its name`)
    plain = parts.join('/')
  }
  const slash = plain.lastIndexOf('/')
  return slash < 0 ? { parent: '', name: plain } : { parent: plain.slice(0, slash), name: plain.slice(slash + 1) }
}
