// From a change to an entry of a layer's tar: its header, and the extended one where ustar cannot say it. Pure.
import { DmThinError } from '../../base/errors.js'
import { paxBlocks, paxTime, type PaxRecord } from './pax-writer.js'
import { detailsOf, type TreeDetails, type TreeRecord } from '../compare/tree-record.js'

/** The fields of tar-stream's header that are used here. */
export interface TarHeader {
  name: string
  type: 'file' | 'link' | 'symlink' | 'directory' | 'fifo' | 'character-device' | 'block-device'
  /** With the bits of the file's type: of 0, tar-stream makes a default. */
  mode: number
  uid: number
  gid: number
  size: number
  mtime: Date
  linkname?: string
  devmajor?: number
  devminor?: number
}

export interface TarEntry {
  /** The path in the layer: what errors and the order of entries go by, a character for each byte. */
  readonly key: string
  readonly header: TarHeader
  /** Blocks that go before the header's. */
  readonly pax: Buffer | undefined
  /** Of a file with content: what it is known by. */
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
/** What ustar's fields hold: names, six octal digits as tar-stream writes them, eleven, and seconds in 31 bits. */
const MOST_NAME_BYTES = 100
const MOST_NUMBER = 0o777777
const MOST_SIZE = 8 ** 11 - 1
const MOST_SECONDS = 2 ** 31 - 1

const shown = (key: string): string => JSON.stringify(Buffer.from(key, 'latin1').toString('utf8'))
const unsupported = (key: string, why: string): DmThinError =>
  new DmThinError('DM_UNSUPPORTED', `${shown(key)} cannot be in a layer's tar: ${why}`, { device: key })

const isSocket = (mode: number): boolean => TYPES[mode & S_IFMT] === undefined

/** Text that ustar holds as it is. */
const fits = (name: string): boolean => name.length <= MOST_NAME_BYTES && !/[^\x01-\x7f]/.test(name)
/** What stands in ustar's field where the extended header has the name: nobody reads it who knows of that one. */
const standIn = (name: string): string => name.replace(/[^\x20-\x7e]/g, '_').slice(0, MOST_NAME_BYTES)

/** The entries of the changes that are in order; a socket is none. `records` with detail. */
export function* tarEntries(records: readonly TreeRecord[]): Generator<TarEntry> {
  const links = new HardLinks(records)
  const ordered = records.filter(({ kind }) => kind !== 'U').map(record => ({ record, key: keyInTar(record) }))
  // In order already but for the deletions, which have other names here.
  ordered.sort((one, other) => (one.key < other.key ? -1 : one.key > other.key ? 1 : 0))
  for (const { record, key } of ordered) {
    if (record.kind === 'D') {
      yield whiteout(key)
      continue
    }
    const details = detailsOf(record)
    if (!isSocket(details.mode)) yield entry(key, details, links.targetOf(key, details))
    // What was there before is not any more.
    else if (record.kind === 'C') yield whiteout(whiteoutKey(key))
  }
}

function whiteoutKey(key: string): string {
  const name = key.lastIndexOf('/') + 1
  return `${key.slice(0, name)}${WHITEOUT}${key.slice(name)}`
}

function keyInTar({ kind, key }: TreeRecord): string {
  // Whoever unpacks a layer takes it for the deletion of another file.
  if (key.startsWith(WHITEOUT, key.lastIndexOf('/') + 1)) {
    throw unsupported(key, 'names that begin with .wh. mean deletions there')
  }
  return kind === 'D' ? whiteoutKey(key) : key
}

/** A file with several names has its content once, under the first; the others are links to that one. */
class HardLinks {
  readonly #targets = new Map<bigint, string>()

  /** Names that have not changed are in the layer below, and stand for the content from the beginning. */
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

function whiteout(key: string): TarEntry {
  const header = { type: 'file', mode: S_IFREG, uid: 0, gid: 0, size: 0, mtime: new Date(0) } as const
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
  if (size > MOST_SIZE) records.push(['size', String(size)])
  if (uid > MOST_NUMBER) records.push(['uid', String(uid)])
  if (gid > MOST_NUMBER) records.push(['gid', String(gid)])
  if (nanoseconds !== 0 || seconds < 0 || seconds > MOST_SECONDS) {
    records.push(['mtime', paxTime(seconds, nanoseconds)])
  }
  if (type !== 'link') records.push(...xattrRecords(key, details))
  const header: TarHeader = {
    name: fits(name) ? name : standIn(name),
    type,
    mode: details.mode,
    uid: Math.min(uid, MOST_NUMBER),
    gid: Math.min(gid, MOST_NUMBER),
    size,
    mtime: new Date(Math.min(Math.max(seconds, 0), MOST_SECONDS) * 1000),
  }
  if (linkName !== '') header.linkname = fits(linkName) ? linkName : standIn(linkName)
  if (type === 'character-device' || type === 'block-device') setDevice(key, header, details)
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

function setDevice(key: string, header: TarHeader, { deviceMajor, deviceMinor }: TreeDetails): void {
  if (deviceMajor > MOST_NUMBER || deviceMinor > MOST_NUMBER) {
    throw unsupported(key, `its device number ${deviceMajor}:${deviceMinor} is too large`)
  }
  header.devmajor = deviceMajor
  header.devminor = deviceMinor
}
