// The writer of a pool's metadata, in the state that the kernel leaves after a commit. Each thin has a separate tree, whereas
// in the kernel snapshots share nodes, which saves space and has the same meaning.
import { MAPPING_BYTES } from '../metadata/btree.js'
import { CHECKSUM_SALT } from '../metadata/crc32c.js'
import { DETAILS_BYTES, ROOT_BYTES } from '../metadata/details.js'
import { MAGIC, VERSION } from '../metadata/superblock.js'
import { BITMAP_ENTRIES, MetadataBlocks, treeBlocks, writeU64, type Entry } from './metadata-nodes.js'
import type { PoolMetadata, Thin } from './pool-metadata.js'

const INDEX_ENTRY_BYTES = 16
const COUNT_BYTES = 4

interface Roots {
  readonly mappings: number
  readonly details: number
}

interface SpaceMap {
  readonly blocks: number
  readonly allocated: number
  readonly bitmapRoot: number
  readonly countRoot: number
}

const bitmapsFor = (blocks: number): number => Math.ceil(blocks / BITMAP_ENTRIES)

/** The block of a metadata snapshot. It is constant, because the snapshot does not change while it is held. */
const HELD_BLOCK = 1

const thinBlocks = (thins: Iterable<Thin>): number => {
  let [all, blocks] = [0, 0]
  for (const { mappings } of thins) {
    all += 1
    blocks += treeBlocks(mappings.size, MAPPING_BYTES)
  }
  return blocks + treeBlocks(all, ROOT_BYTES) + treeBlocks(all, DETAILS_BYTES)
}

/** Returns the number of metadata blocks that `writeMetadata` needs. */
export function metadataBlocksOf(state: PoolMetadata): number {
  const held = state.held ? 1 + thinBlocks(state.held.thins) : 0
  const bitmaps = bitmapsFor(state.dataBlocks)
  const data = bitmaps + treeBlocks(bitmaps, INDEX_ENTRY_BYTES) + treeBlocks(state.countedBlocks, COUNT_BYTES)
  const metadata = bitmapsFor(state.metadataBlocks) + 1 + 1
  return 1 + held + thinBlocks(state.thins.values()) + data + metadata
}

/** Returns the content of all used blocks, by block number. */
export function writeMetadata(state: PoolMetadata): Map<number, Uint8Array> {
  const blocks = new MetadataBlocks(HELD_BLOCK)
  if (state.held) {
    const place = blocks.reserve()
    const { time, transactionId, thins } = state.held
    superblock(blocks, place, state, { time, transactionId, heldBlock: 0 }, writeThins(blocks, thins))
  }
  const roots = writeThins(blocks, state.thins.values())
  const data = writeDataMap(blocks, state)
  const metadata = writeMetadataMap(blocks, state)
  const { time, transactionId, held } = state
  superblock(blocks, 0, state, { time, transactionId, heldBlock: held ? HELD_BLOCK : 0 }, roots, { data, metadata })
  return blocks.written
}

function writeThins(blocks: MetadataBlocks, thins: Iterable<Thin>): Roots {
  const sorted = [...thins].sort((a, b) => a.id - b.id)
  const mappings = sorted.map(thin => ({ key: thin.id, write: writeU64(writeMappings(blocks, thin)) }))
  const details = sorted.map(thin => ({ key: thin.id, write: detailsWriter(thin) }))
  return { mappings: blocks.tree(mappings, ROOT_BYTES), details: blocks.tree(details, DETAILS_BYTES) }
}

function writeMappings(blocks: MetadataBlocks, { mappings }: Thin): number {
  const entries: Entry[] = [...mappings]
    .sort(([a], [b]) => a - b)
    .map(([key, { block, time }]) => ({ key, write: writeU64((BigInt(block) << 24n) | BigInt(time & 0xffffff)) }))
  return blocks.tree(entries, MAPPING_BYTES)
}

const detailsWriter = (thin: Thin) => (view: DataView, offset: number) => {
  view.setBigUint64(offset, BigInt(thin.mappings.size), true)
  view.setBigUint64(offset + 8, thin.transactionId, true)
  view.setUint32(offset + 16, thin.creationTime, true)
  view.setUint32(offset + 20, thin.snapshottedTime, true)
}

function writeDataMap(blocks: MetadataBlocks, state: PoolMetadata): SpaceMap {
  const counts = new Map(state.references)
  const places = Array.from({ length: bitmapsFor(state.dataBlocks) }, () => blocks.reserve())
  const index = blocks.bitmaps(state.dataBlocks, counts, places)
  const many = state.references
    .filter(([, count]) => count > 2)
    .map(([key, count]) => ({ key, write: (view: DataView, offset: number) => view.setUint32(offset, count, true) }))
  return {
    blocks: state.dataBlocks,
    allocated: counts.size,
    bitmapRoot: blocks.tree(index, INDEX_ENTRY_BYTES),
    countRoot: blocks.tree(many, COUNT_BYTES),
  }
}

/** Writes the space map of the metadata. It must be written last, because it includes all used blocks and its own. */
function writeMetadataMap(blocks: MetadataBlocks, state: PoolMetadata): SpaceMap {
  const countRoot = blocks.tree([], COUNT_BYTES)
  const bitmapRoot = blocks.reserve()
  const places = Array.from({ length: bitmapsFor(state.metadataBlocks) }, () => blocks.reserve())
  const allocated = blocks.next
  const counts = new Map(Array.from({ length: allocated }, (_, block) => [block, 1]))
  const entries = blocks.bitmaps(state.metadataBlocks, counts, places)
  blocks.index(bitmapRoot, entries)
  return { blocks: state.metadataBlocks, allocated, bitmapRoot, countRoot }
}

/** Writes a superblock. Without `maps`, it is the copy in a metadata snapshot, whose space maps are zero. */
function superblock(
  blocks: MetadataBlocks,
  place: number,
  state: PoolMetadata,
  own: { readonly time: number; readonly transactionId: bigint; readonly heldBlock: number },
  roots: Roots,
  maps?: { readonly data: SpaceMap; readonly metadata: SpaceMap },
): void {
  blocks.put(place, CHECKSUM_SALT.superblock, view => {
    const u64 = (offset: number, value: number | bigint) => view.setBigUint64(offset, BigInt(value), true)
    const spaceMap = (offset: number, map: SpaceMap) => {
      for (const [at, value] of [map.blocks, map.allocated, map.bitmapRoot, map.countRoot].entries()) {
        u64(offset + 8 * at, value)
      }
    }
    view.setUint32(4, state.needsCheck ? 1 : 0, true)
    u64(32, MAGIC)
    view.setUint32(40, VERSION, true)
    view.setUint32(44, own.time, true)
    u64(48, own.transactionId)
    u64(56, own.heldBlock)
    if (maps) spaceMap(64, maps.data)
    if (maps) spaceMap(192, maps.metadata)
    u64(320, roots.mappings)
    u64(328, roots.details)
    view.setUint32(336, state.blockSectors, true)
    view.setUint32(340, 8, true)
    u64(344, state.formattedMetadataBlocks)
  })
}
