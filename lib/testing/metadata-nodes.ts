// The blocks of the on-disk format: tree nodes, bitmaps and an index, each with its checksum.
import { METADATA_BLOCK_BYTES, viewOf } from '../metadata/block-source.js'
import { FLAG_INTERNAL, FLAG_LEAF, HEADER_BYTES } from '../metadata/btree.js'
import { blockChecksum, CHECKSUM_SALT } from '../metadata/crc32c.js'

/** The salts of blocks that lib/metadata does not read (dm-space-map-common.c, dm-space-map-metadata.c). */
const BITMAP_SALT = 240779
const INDEX_SALT = 160478
/** The number of blocks in one bitmap. */
export const BITMAP_ENTRIES = 16320

export interface Entry {
  readonly key: number
  readonly write: (view: DataView, offset: number) => void
}

/** Returns the capacity of a node: a multiple of three, so that it can be split in three (dm-btree.c calc_max_entries). */
const capacityOf = (valueBytes: number): number =>
  3 * Math.floor((METADATA_BLOCK_BYTES - HEADER_BYTES) / (8 + valueBytes) / 3)

/** Returns the number of blocks that `MetadataBlocks.tree` needs for so many entries. */
export function treeBlocks(entries: number, valueBytes: number): number {
  let nodes = Math.max(1, Math.ceil(entries / capacityOf(valueBytes)))
  let all = nodes
  while (nodes > 1) {
    nodes = Math.ceil(nodes / capacityOf(8))
    all += nodes
  }
  return all
}

export const writeU64 =
  (value: number | bigint) =>
  (view: DataView, offset: number): void =>
    view.setBigUint64(offset, BigInt(value), true)

/** The blocks of the metadata: allocates them in ascending order, and keeps their content. */
export class MetadataBlocks {
  readonly written = new Map<number, Uint8Array>()
  #next: number

  constructor(first: number) {
    this.#next = first
  }

  get next(): number {
    return this.#next
  }

  reserve(): number {
    this.#next += 1
    return this.#next - 1
  }

  put(block: number, salt: number, fill: (view: DataView) => void): number {
    const bytes = new Uint8Array(METADATA_BLOCK_BYTES)
    const view = viewOf(bytes)
    fill(view)
    view.setBigUint64(8, BigInt(block), true)
    view.setUint32(0, blockChecksum(bytes, salt), true)
    this.written.set(block, bytes)
    return block
  }

  /** Writes a tree of entries, which are sorted by key. Returns the block of its root. */
  tree(entries: readonly Entry[], valueBytes: number): number {
    let level = spread(entries, capacityOf(valueBytes)).map(part => this.#node(FLAG_LEAF, part, valueBytes))
    while (level.length > 1) {
      level = spread(level, capacityOf(8)).map(part => this.#node(FLAG_INTERNAL, part, 8))
    }
    return level[0]!.block
  }

  #node(flags: number, entries: readonly Entry[], valueBytes: number): Entry & { readonly block: number } {
    const capacity = capacityOf(valueBytes)
    const block = this.put(this.reserve(), CHECKSUM_SALT.btreeNode, view => {
      view.setUint32(4, flags, true)
      view.setUint32(16, entries.length, true)
      view.setUint32(20, capacity, true)
      view.setUint32(24, valueBytes, true)
      for (const [at, { key, write }] of entries.entries()) {
        view.setBigUint64(HEADER_BYTES + 8 * at, BigInt(key), true)
        write(view, HEADER_BYTES + 8 * capacity + valueBytes * at)
      }
    })
    return { key: entries[0]?.key ?? 0, write: writeU64(block), block }
  }

  /**
   * Writes bitmaps with two bits for each of `blocks`. Blocks that are not in `counts` have the count 0. Returns the index
   * entries, in order.
   */
  bitmaps(blocks: number, counts: ReadonlyMap<number, number>, places: readonly number[]): Entry[] {
    return places.map((place, at) => {
      const first = at * BITMAP_ENTRIES
      const length = Math.min(BITMAP_ENTRIES, blocks - first)
      const used = [...counts].filter(([block, count]) => count > 0 && block >= first && block < first + length)
      this.put(place, BITMAP_SALT, view => {
        for (const [block, count] of used) {
          const entry = block - first
          // The two bits are stored in reverse order: 1 is stored as 2. 3 means that the count is in the tree of counts.
          const bits = count === 1 ? 2 : count === 2 ? 1 : 3
          const byte = 16 + Math.floor(entry / 4)
          view.setUint8(byte, view.getUint8(byte) | (bits << (2 * (entry % 4))))
        }
      })
      const free = length - used.length
      let firstFree = 0
      while (firstFree < length && (counts.get(first + firstFree) ?? 0) > 0) firstFree++
      const write = (view: DataView, offset: number) => {
        view.setBigUint64(offset, BigInt(place), true)
        view.setUint32(offset + 8, free, true)
        view.setUint32(offset + 12, firstFree, true)
      }
      return { key: at, write }
    })
  }

  /** Writes the index of the bitmaps of the metadata itself. */
  index(place: number, entries: readonly Entry[]): void {
    this.put(place, INDEX_SALT, view => entries.forEach(({ write }, at) => write(view, 16 + 16 * at)))
  }
}

/** Splits items into parts of similar size, at most `most`, so that only a root can be less than half full. */
function spread<T>(items: readonly T[], most: number): T[][] {
  const parts = Math.max(1, Math.ceil(items.length / most))
  return Array.from({ length: parts }, (_, part) =>
    items.slice(Math.floor((part * items.length) / parts), Math.floor(((part + 1) * items.length) / parts)),
  )
}
