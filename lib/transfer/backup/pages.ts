// The pages of a backup: each lists the chunks of one range of the volume. Pages are chunks themselves, so that backups share
// those in which nothing has changed.
import { createHash } from 'node:crypto'
import { SECTOR_BYTES } from '../../base/units.js'
import { invalidTransfer, MAX_CHUNK_BYTES } from '../format.js'
import type { ChunkStore } from './chunk-store.js'

/** The length of the range that a page lists. */
export const PAGE_BYTES = 256 * 2 ** 20
/** Offset, length, position in the chunk, and digest. */
const ENTRY_BYTES = 48

/** A range of the volume, and the chunk that has its content from a position on. */
export interface Entry {
  readonly offset: number
  readonly length: number
  readonly position: number
  readonly digest: string
}

/** A range of the volume that has changed, with its new content; without a digest it is unmapped. */
export type Change = Pick<Entry, 'offset' | 'length'> & Partial<Pick<Entry, 'digest'>>

export const digestOf = (content: Uint8Array): string => createHash('sha256').update(content).digest('hex')

/** Returns the part of an entry from an offset to before another one. */
export const partOf = ({ offset, position, digest }: Entry, begin: number, end: number): Entry => ({
  offset: begin,
  length: end - begin,
  position: position + begin - offset,
  digest,
})

/** Returns the entries of a page after changes. Both lists ascend. */
export function changed(entries: readonly Entry[], changes: readonly Change[]): Entry[] {
  const kept: Entry[] = []
  let at = 0
  for (const entry of entries) {
    const end = entry.offset + entry.length
    let begin = entry.offset
    while (at < changes.length && changes[at]!.offset + changes[at]!.length <= begin) at++
    for (let next = at; next < changes.length && changes[next]!.offset < end; next++) {
      const { offset, length } = changes[next]!
      if (offset > begin) kept.push(partOf(entry, begin, offset))
      begin = Math.max(begin, offset + length)
    }
    if (begin < end) kept.push(partOf(entry, begin, end))
  }
  const added = changes.flatMap(({ offset, length, digest }) =>
    digest === undefined ? [] : [{ offset, length, position: 0, digest }],
  )
  return [...kept, ...added].sort((a, b) => a.offset - b.offset)
}

export function formatPage(entries: readonly Entry[]): Buffer {
  const bytes = Buffer.alloc(entries.length * ENTRY_BYTES)
  entries.forEach(({ offset, length, position, digest }, at) => {
    const begin = at * ENTRY_BYTES
    bytes.writeBigUInt64LE(BigInt(offset), begin)
    bytes.writeUInt32LE(length, begin + 8)
    bytes.writeUInt32LE(position, begin + 12)
    bytes.write(digest, begin + 16, 'hex')
  })
  return bytes
}

/** Reads a page and verifies it. Rejects with `DM_TRANSFER_INVALID`. */
export async function readPage(store: ChunkStore, index: number, digest: string): Promise<Entry[]> {
  const bytes = await readChunk(store, digest)
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const entries: Entry[] = []
  let end = index * PAGE_BYTES
  for (let at = 0; at + ENTRY_BYTES <= view.length; at += ENTRY_BYTES) {
    const entry = {
      offset: Number(view.readBigUInt64LE(at)),
      length: view.readUInt32LE(at + 8),
      position: view.readUInt32LE(at + 12),
      digest: view.toString('hex', at + 16, at + ENTRY_BYTES),
    }
    const { offset, length, position } = entry
    const isInside =
      offset >= end && offset + length <= (index + 1) * PAGE_BYTES && position + length <= MAX_CHUNK_BYTES
    if (!isInside || length === 0 || [offset, length, position].some(each => each % SECTOR_BYTES !== 0)) {
      throw invalidTransfer('damaged', `page ${digest} of a backup has an entry of ${length} bytes at ${offset}`)
    }
    end = offset + length
    entries.push(entry)
  }
  if (view.length % ENTRY_BYTES !== 0) throw invalidTransfer('damaged', `page ${digest} of a backup is not whole`)
  return entries
}

/** Reads a chunk and verifies its digest. Rejects with `DM_TRANSFER_INVALID`. */
export async function readChunk(store: ChunkStore, digest: string): Promise<Uint8Array> {
  const content = await store.get(digest)
  if (content === undefined) throw invalidTransfer('chunk-missing', `chunk ${digest} is missing`)
  if (digestOf(content) === digest) return content
  throw invalidTransfer('damaged', `the content of chunk ${digest} does not have this digest`)
}

/** Stores a chunk, unless it is there. Returns the number of bytes that were added. */
export async function addChunk(store: ChunkStore, digest: string, content: Uint8Array): Promise<number> {
  if (await store.has(digest)) return 0
  await store.put(digest, content)
  return content.length
}
