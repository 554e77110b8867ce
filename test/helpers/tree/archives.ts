// Archives made byte by byte, for what no packer would pack, and trees compared by what GNU tar sees of them.
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { runForBytes as run } from '../process/spawned.js'

export interface Member {
  /** Bytes, one a character. */
  name: string
  type?: string
  link?: string
  content?: Buffer | string
  mode?: number
  uid?: number
  gid?: number
  /** Seconds since 1970. */
  time?: number
  major?: number
  minor?: number
  /** Instead of the content's length. */
  size?: number
  /** An extended header in front. Values may be any bytes. */
  pax?: readonly (readonly [string, Buffer | string])[]
  magic?: string
}

const octal = (value: number, digits: number) => value.toString(8).padStart(digits, '0') + '\0'
const bytesOf = (value: Buffer | string) => (typeof value === 'string' ? Buffer.from(value, 'latin1') : value)
const filled = (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)])

export function paxRecord(key: string, value: Buffer | string): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`, 'latin1'), bytesOf(value), Buffer.from('\n')])
  let length = rest.length + 1
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length
  return Buffer.concat([Buffer.from(String(length)), rest])
}

export function block(member: Member): Buffer {
  const content = bytesOf(member.content ?? '')
  const bytes = Buffer.alloc(512)
  bytes.write(member.name, 0, 100, 'latin1')
  bytes.write(octal(member.mode ?? 0o644, 7), 100)
  bytes.write(octal(member.uid ?? 0, 7), 108)
  bytes.write(octal(member.gid ?? 0, 7), 116)
  bytes.write(octal(member.size ?? content.length, 11), 124)
  bytes.write(octal(member.time ?? 1_600_000_000, 11), 136)
  bytes.write(member.type ?? '0', 156, 'latin1')
  bytes.write(member.link ?? '', 157, 100, 'latin1')
  bytes.write(member.magic ?? 'ustar\x0000', 257, 'latin1')
  bytes.write(octal(member.major ?? 0, 7), 329)
  bytes.write(octal(member.minor ?? 0, 7), 337)
  return sealed(bytes)
}

/** The header with its sum. */
export function sealed(bytes: Buffer): Buffer {
  bytes.write('        ', 148)
  bytes.write(
    octal(
      bytes.reduce((sum, each) => sum + each, 0),
      6,
    ) + ' ',
    148,
  )
  return bytes
}

export function members(...list: Member[]): Buffer {
  return Buffer.concat(
    list.flatMap(member => {
      const own = [block(member), filled(bytesOf(member.content ?? ''))]
      if (!member.pax) return own
      const records = Buffer.concat(member.pax.map(([key, value]) => paxRecord(key, value)))
      return [block({ name: 'PaxHeaders/x', type: 'x', content: records }), filled(records), ...own]
    }),
  )
}

/** A default ACL by which user 7 may read and write, as the kernel keeps it: version 2, then tag, rights and id of each. */
export const DEFAULT_ACL = Buffer.from(
  '02000000' + '01000700ffffffff' + '0200060007000000' + '04000500ffffffff' + '10000700ffffffff' + '20000500ffffffff',
  'hex',
)

export const END = Buffer.alloc(1024)
export const archive = (...list: Member[]): Buffer => Buffer.concat([members(...list), END])

export const sha256 = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

/** Streams the archive of one file of `size` bytes, a multiple of 64 KiB, without ever holding it as a whole. */
export async function* largeFile(name: string, size: number): AsyncGenerator<Uint8Array> {
  yield block({ name, size })
  const piece = Buffer.alloc(65_536, 5)
  for (let left = size; left > 0; left -= piece.length) yield await Promise.resolve(piece)
  yield END
}

/** A stream that gives `bytes` in pieces of `size`. */
export async function* inPieces(bytes: Buffer, size = 65_536): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield await Promise.resolve(bytes.subarray(at, at + size))
}

/** All that GNU tar knows of a tree, as a list to be read and the digest of everything. */
export function seen(tree: string): string {
  const format = ['--format=posix', '--pax-option=delete=atime,delete=ctime', '--sort=name', '--numeric-owner']
  const packed = run('tar', ['-C', tree, ...format, '--xattrs', '--xattrs-include=*', '-c', '.'])
  const list = run('tar', ['--numeric-owner', '--full-time', '-tvf', '-'], packed).toString('latin1')
  return `${list}${sha256(packed)}`
}

/** What GNU tar makes of an archive. */
export function unpackedByTar(bytes: Buffer, into: string): void {
  const rights = ['--xattrs', '--xattrs-include=*', '--numeric-owner', '-p', '--same-owner']
  const words = ['-C', into, ...rights, '--delay-directory-restore', '-x', '-f', '-']
  if (bytes[0] === 0x1f) words.push('-z')
  run('tar', words, bytes)
}

/** Folders of a test, inside one that is gone when it ends. */
export function useFolders(): (name: string) => string {
  let root = ''
  beforeEach(() => {
    root = mkdtempSync(path.join(tmpdir(), 'dm-thin-layer-'))
  })
  afterEach(() => rmSync(root, { recursive: true, force: true }))
  return name => {
    const folder = path.join(root, name)
    mkdirSync(folder, { recursive: true })
    return folder
  }
}
