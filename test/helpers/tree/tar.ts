// A tar read byte by byte, and a layer's tar applied to a tree: by GNU tar, after what stands in its way is gone.
import { lstatSync, rmSync, writeFileSync } from 'node:fs'
import { run } from '../process/spawned'
import { inTree } from './trees'

export interface ReadEntry {
  /** A character for each byte, as all text here. */
  readonly name: string
  readonly type: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  readonly linkName: string
  readonly device: string
  readonly content: Buffer
  /** Records of the extended header, values as they are. */
  readonly pax: Readonly<Record<string, string>>
  /** The user's name of ustar and everything else that a header need not have. */
  readonly rest: string
}

const text = (block: Buffer, at: number, length: number): string =>
  block.toString('latin1', at, at + length).replace(/\0.*$/s, '')
const octal = (block: Buffer, at: number, length: number): number => parseInt(text(block, at, length).trim() || '0', 8)

function paxRecords(body: Buffer): Record<string, string> {
  const records: Record<string, string> = {}
  for (let at = 0; at < body.length;) {
    const length = parseInt(body.toString('latin1', at, body.indexOf(' ', at)), 10)
    const record = body.toString('latin1', body.indexOf(' ', at) + 1, at + length - 1)
    if (body[at + length - 1] !== 0x0a) throw new Error('a record that does not end in a newline')
    records[record.slice(0, record.indexOf('='))] = record.slice(record.indexOf('=') + 1)
    at += length
  }
  return records
}

function checkSum(block: Buffer): void {
  const copy = Buffer.from(block)
  copy.fill(' ', 148, 156)
  const sum = copy.reduce((total, byte) => total + byte, 0)
  if (sum !== octal(block, 148, 8)) throw new Error('a checksum that is wrong')
}

export function readTar(tar: Buffer): ReadEntry[] {
  const entries: ReadEntry[] = []
  let pax: Record<string, string> = {}
  let at = 0
  for (; tar[at] !== 0;) {
    const block = tar.subarray(at, at + 512)
    checkSum(block)
    const type = String.fromCharCode(block[156]!)
    const size = 'size' in pax ? Number(pax['size']) : octal(block, 124, 12)
    const content = tar.subarray(at + 512, at + 512 + size)
    at += 512 + Math.ceil(size / 512) * 512
    if (type === 'x') {
      pax = paxRecords(content)
      continue
    }
    const prefix = text(block, 345, 155)
    entries.push({
      name: pax['path'] ?? (prefix && `${prefix}/`) + text(block, 0, 100),
      type,
      mode: octal(block, 100, 8),
      uid: Number(pax['uid'] ?? octal(block, 108, 8)),
      gid: Number(pax['gid'] ?? octal(block, 116, 8)),
      size,
      linkName: pax['linkpath'] ?? text(block, 157, 100),
      device: `${octal(block, 329, 8)}:${octal(block, 337, 8)}`,
      content,
      pax,
      rest: text(block, 265, 32) + text(block, 297, 32),
    })
    pax = {}
  }
  if (tar.length !== at + 1024 || tar.subarray(at).some(byte => byte !== 0)) throw new Error('a tar that does not end')
  return entries
}

/** A line for each entry, as one would read it. */
export const listed = (tar: Buffer): string[] =>
  readTar(tar).map(({ type, name, linkName }) => `${type} ${name}${linkName && ` -> ${linkName}`}`)

/** What an engine does with a layer: deletes what it says is deleted, and puts the rest over what is there. */
export function applyLayer(tar: Buffer, root: string): void {
  for (const { name, type } of readTar(tar)) {
    const key = `/${name.replace(/\/$/, '')}`
    const last = key.slice(key.lastIndexOf('/') + 1)
    const target = last.startsWith('.wh.') ? key.slice(0, -last.length) + last.slice(4) : key
    const there = lstatSync(inTree(root, target), { throwIfNoEntry: false })
    if (there && !(there.isDirectory() && type === '5')) rmSync(inTree(root, target), { recursive: true })
  }
  const file = `${root}.tar`
  writeFileSync(file, tar)
  const attributes = ['--xattrs', '--xattrs-include=*']
  run('tar', ['-xpf', file, '-C', root, '--numeric-owner', '--warning=no-timestamp', ...attributes, '--exclude=.wh.*'])
  rmSync(file)
}
