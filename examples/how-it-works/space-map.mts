// Reads from a metadata device what no tool prints: the roots of the mapping trees, and the reference counts in the two
// space maps, as of the last commit. Works for pools so small that each of these trees has one node.
import { BlockDevice } from 'dm-thin'

const NODE_BYTES = 4096
const NODE_HEADER = 32
const INDEX_HEADER = 16
const BITMAP_HEADER = 16

/** Byte offsets in `struct thin_disk_superblock`; a space map's root begins with two counts of blocks. */
const DATA_SPACE_MAP = { nrBlocks: 64, bitmapRoot: 80 }
const METADATA_SPACE_MAP = { bitmapRoot: 64 + 128 + 16 }
const MAPPING_ROOT = 320

export interface Counts {
  /** The reference count of each data block, from block 0 on; 3 means 3 or more. */
  readonly data: readonly number[]
  /** For each thin id the metadata block of the root of its mapping tree, and the reference count of that block. */
  readonly roots: ReadonlyMap<number, { readonly node: number; readonly references: number }>
}

/** Reads the reference counts of a pool's last commit. */
export async function readCounts(metadataDevice: string): Promise<Counts> {
  await using device = await BlockDevice.open(metadataDevice, { readOnly: true })
  const read = (block: number) => device.read(block * NODE_BYTES, NODE_BYTES)
  const u64 = (bytes: Buffer, offset: number) => Number(bytes.readBigUInt64LE(offset))

  const superblock = await read(0)
  // The index of the data space map is a btree. In a leaf, the values follow the keys.
  const index = await read(u64(superblock, DATA_SPACE_MAP.bitmapRoot))
  const dataBitmap = await read(u64(index, NODE_HEADER + 8 * index.readUInt32LE(20)))
  // The index of the metadata space map is one block of entries.
  const metadataIndex = await read(u64(superblock, METADATA_SPACE_MAP.bitmapRoot))
  const metadataBitmap = await read(u64(metadataIndex, INDEX_HEADER))

  const upper = await read(u64(superblock, MAPPING_ROOT))
  const roots = new Map<number, { node: number; references: number }>()
  for (let i = 0; i < upper.readUInt32LE(16); i++) {
    const node = u64(upper, NODE_HEADER + 8 * upper.readUInt32LE(20) + 8 * i)
    roots.set(u64(upper, NODE_HEADER + 8 * i), { node, references: countIn(metadataBitmap, node) })
  }
  const blocks = u64(superblock, DATA_SPACE_MAP.nrBlocks)
  return { data: Array.from({ length: blocks }, (_, block) => countIn(dataBitmap, block)), roots }
}

/** Returns the two bits of a block, the upper of which is stored first. */
function countIn(bitmap: Buffer, block: number): number {
  const bits = bitmap[BITMAP_HEADER + (block >>> 2)]! >>> (2 * (block & 3))
  return 2 * (bits & 1) + ((bits >>> 1) & 1)
}
