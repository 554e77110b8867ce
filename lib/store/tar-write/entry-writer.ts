// Conversion of a change to an entry of a layer's tar: its header, and an extended header for values beyond ustar. Pure.
import { DmThinError } from '../../base/errors.js'
import type { TarHeader } from '../common/tar-stream.js'
import { paxBlocks, paxTime, type PaxRecord } from './pax-writer.js'
import { detailsOf, type TreeDetails, type TreeRecord } from '../compare/tree-record.js'

export interface TarEntry {
  /** The path in the layer, with one character for each byte: for errors, and for the order of entries. */
  readonly key: string
  readonly header: TarHeader
  /** The blocks of the extended header, which precede the header. */
  readonly pax: Buffer | undefined
  /** The identity of a file, for reading its content. */
  readonly identity: Buffer | undefined
}

const TYPES: Readonly<Record<number, TarHeader['type']>> = {
  0o100000: 'file',
  0o120000: 'symlink',
  0o040000: 'directory',
  0o010000: 'fifo',
  0o020000: 'character-device',
  0o060000: 'block-device',
}
const S_IFMT = 0o170000
const S_IFREG = 0o100000
const WHITEOUT = '.wh.'
/** The limits of ustar's fields: names, six octal digits as tar-stream writes them, eleven, and seconds in 31 bits. */
const MAX_NAME_BYTES = 100
const MAX_NUMBER = 0o777777
const MAX_SIZE = 8 ** 11 - 1
const MAX_SECONDS = 2 ** 31 - 1

const shown = (key: string): string => JSON.stringify(Buffer.from(key, 'latin1').toString('utf8'))
const unsupported = (key: string, why: string): DmThinError =>
  new DmThinError('DM_UNSUPPORTED', `${shown(key)} cannot be in a layer's tar: ${why}`, { device: key })

const isSocket = (mode: number): boolean => TYPES[mode & S_IFMT] === undefined

/** Returns whether ustar can represent a name. */
const fits = (name: string): boolean => name.length <= MAX_NAME_BYTES && !/[^\x01-\x7f]/.test(name)
/** Returns a name for ustar's field if the extended header has the real name. Readers of extended headers ignore it. */
const standIn = (name: string): string => name.replace(/[^\x20-\x7e]/g, '_').slice(0, MAX_NAME_BYTES)

/** Returns the entries of the changes, in order, without sockets. `records` must have details. */
export function* tarEntries(records: readonly TreeRecord[]): Generator<TarEntry> {
  const links = new HardLinks(records)
  const ordered = records.filter(({ kind }) => kind !== 'U').map(record => ({ record, key: keyInTar(record) }))
  // Only deletions are out of order, because their names change to whiteouts.
  ordered.sort((one, other) => (one.key < other.key ? -1 : one.key > other.key ? 1 : 0))
  for (const { record, key } of ordered) {
    if (record.kind === 'D') {
      yield whiteout(key)
      continue
    }
    const details = detailsOf(record)
    if (!isSocket(details.mode)) yield entry(key, details, links.targetOf(key, details))
    // The file that the socket replaced is deleted.
    else if (record.kind === 'C') yield whiteout(whiteoutKey(key))
  }
}

function whiteoutKey(key: string): string {
  const name = key.lastIndexOf('/') + 1
  return `${key.slice(0, name)}${WHITEOUT}${key.slice(name)}`
}

function keyInTar({ kind, key }: TreeRecord): string {
  // Unpacking would treat it as the deletion of another file.
  if (key.startsWith(WHITEOUT, key.lastIndexOf('/') + 1)) {
    throw unsupported(key, 'names that begin with .wh. mean deletions there')
  }
  return kind === 'D' ? whiteoutKey(key) : key
}

/** The hard links of a tar: the first name of a file has its content, and its other names are links to the first. */
class HardLinks {
  readonly #targets = new Map<bigint, string>()

  /** Unchanged names are in the layer below, so that they are link targets from the start. */
  constructor(records: readonly TreeRecord[]) {
    for (const record of records) {
      if (record.kind !== 'U') continue
      const { inode } = detailsOf(record)
      if (!this.#targets.has(inode)) this.#targets.set(inode, record.key)
    }
  }

  targetOf(key: string, { mode, links, inode }: TreeDetails): string | undefined {
    if (links < 2 || (mode & S_IFMT) !== S_IFREG) return undefined
    const target = this.#targets.get(inode)
    if (target === undefined) this.#targets.set(inode, key)
    return target
  }
}

/** The fields of a header that are zero or empty, unless the entry has them. */
const NONE = { uid: 0, gid: 0, size: 0, linkname: '', devmajor: 0, devminor: 0 } as const

function whiteout(key: string): TarEntry {
  const header = { ...NONE, type: 'file', mode: S_IFREG, mtime: new Date(0) } as const
  const name = key.slice(1)
  if (fits(name)) return { key, header: { ...header, name }, pax: undefined, identity: undefined }
  return { key, header: { ...header, name: standIn(name) }, pax: paxBlocks([['path', name]]), identity: undefined }
}

function entry(key: string, details: TreeDetails, hardLink: string | undefined): TarEntry {
  const type = hardLink === undefined ? TYPES[details.mode & S_IFMT]! : 'link'
  const name = type === 'directory' ? `${key === '/' ? '.' : key.slice(1)}/` : key.slice(1)
  const linkName = hardLink === undefined ? details.target.toString('latin1') : hardLink.slice(1)
  const { uid, gid, modifiedSeconds: seconds, modifiedNanoseconds: nanoseconds } = details
  const size = type === 'file' ? details.sizeBytes : 0
  const records: PaxRecord[] = []
  if (!fits(name)) records.push(['path', name])
  if (!fits(linkName)) records.push(['linkpath', linkName])
  if (size > MAX_SIZE) records.push(['size', String(size)])
  if (uid > MAX_NUMBER) records.push(['uid', String(uid)])
  if (gid > MAX_NUMBER) records.push(['gid', String(gid)])
  if (nanoseconds !== 0 || seconds < 0 || seconds > MAX_SECONDS) {
    records.push(['mtime', paxTime(seconds, nanoseconds)])
  }
  if (type !== 'link') records.push(...xattrRecords(key, details))
  const header: TarHeader = {
    ...NONE,
    name: fits(name) ? name : standIn(name),
    type,
    mode: details.mode,
    uid: Math.min(uid, MAX_NUMBER),
    gid: Math.min(gid, MAX_NUMBER),
    size,
    mtime: new Date(Math.min(Math.max(seconds, 0), MAX_SECONDS) * 1000),
    linkname: fits(linkName) ? linkName : standIn(linkName),
    ...((type === 'character-device' || type === 'block-device') && deviceOf(key, details)),
  }
  const pax = records.length === 0 ? undefined : paxBlocks(records)
  return { key, header, pax, identity: type === 'file' ? details.identity : undefined }
}

function xattrRecords(key: string, { xattrs }: TreeDetails): PaxRecord[] {
  return xattrs.map(([name, value]) => {
    const text = name.toString('latin1')
    if (text.includes('=')) throw unsupported(key, `its extended attribute ${shown(text)} has a = in its name`)
    return [`SCHILY.xattr.${text}`, value.toString('latin1')]
  })
}

function deviceOf(key: string, { deviceMajor, deviceMinor }: TreeDetails): Pick<TarHeader, 'devmajor' | 'devminor'> {
  if (deviceMajor > MAX_NUMBER || deviceMinor > MAX_NUMBER) {
    throw unsupported(key, `its device number ${deviceMajor}:${deviceMinor} is too large`)
  }
  return { devmajor: deviceMajor, devminor: deviceMinor }
}
