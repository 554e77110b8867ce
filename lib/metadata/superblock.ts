// The superblock of a pool's metadata: classification and parser.
import { MAX_METADATA_BLOCKS, METADATA_BLOCK_BYTES, safeU64, viewOf } from './block-source.js'
import { blockChecksum, CHECKSUM_SALT } from './crc32c.js'
import { corruptBlock, MetadataError } from './metadata-error.js'

export const MAGIC = 27022010
/** The version of the kernel's metadata that is read. */
export const VERSION = 2
const FLAG_NEEDS_CHECK = 1
const METADATA_BLOCK_SECTORS = 8
// A mapping has the data block in the upper 40 bits of its value.
const MAX_DATA_BLOCKS = 2 ** 40
// `DATA_DEV_BLOCK_SIZE_MIN_SECTORS` and `…_MAX_SECTORS` in dm-thin.c: 64 KiB to 1 GiB, in steps of 64 KiB.
const MIN_DATA_BLOCK_SECTORS = 128
const MAX_DATA_BLOCK_SECTORS = 2097152

/** The superblock's fields about one space map (`struct disk_sm_root`). */
export interface SpaceMapRoot {
  /** Blocks the map covers: data blocks of the pool, or 4096-byte metadata blocks. */
  readonly blocks: number
  /** Blocks in use at the last commit. */
  readonly allocated: number
  /** Metadata block of the map's two bits per block: a tree, or for the metadata an index. */
  readonly bitmapRoot: number
  /** Metadata block of the tree of the counts above 2. */
  readonly refCountRoot: number
}

/** The committed state of a pool (`struct thin_disk_superblock`, `dm-thin-metadata.c`). */
export interface Superblock {
  /**
   * True if the kernel requires a check before it changes this pool again. The kernel sets the flag in memory first,
   * and on disk often only when the pool is removed. `false` therefore proves nothing for a pool in use: read its
   * status line.
   */
  readonly needsCheck: boolean
  /** Snapshot clock, u32: each snapshot advances it by one. Mappings contain only its low 24 bits. */
  readonly time: number
  /** The caller's own counter, compared and set by `set_transaction_id`; a full u64. */
  readonly transactionId: bigint
  /** Metadata block of the reserved metadata snapshot, 0 if none is held. */
  readonly metadataSnapshotBlock: number
  /** The space map of the data. In a metadata snapshot, that of the present superblock. */
  readonly dataSpaceMap: SpaceMapRoot
  /**
   * The space map of the metadata. Its `blocks` is the size of the metadata in use; the field written at format time is
   * not updated by growth.
   */
  readonly metadataSpaceMap: SpaceMapRoot
  /** Metadata block of the tree thin id -> root of that thin's mapping tree. */
  readonly dataMappingRoot: number
  /** Metadata block of the tree thin id -> device details. */
  readonly deviceDetailsRoot: number
  /** Data block size in 512-byte sectors: 128 (64 KiB) to 2097152 (1 GiB). */
  readonly dataBlockSizeSectors: number
  /** Number of metadata blocks when the pool was formatted. */
  readonly formattedMetadataBlocks: number
  /** Features that any reader may ignore. */
  readonly compatFlags: number
  /** Features that only a writer must know. */
  readonly compatReadOnlyFlags: number
}

/** The kind of contents of a metadata device's first block, see {@link classifySuperblock}. */
export type SuperblockKind =
  | { readonly kind: 'blank' }
  | { readonly kind: 'pool'; readonly superblock: Superblock }
  | { readonly kind: 'garbage'; readonly detail: string }

/**
 * Classifies the first 4096 bytes of a metadata device.
 *
 * - `blank`: all zero. Only in this case does the kernel format a new pool there (`__superblock_all_zeroes`).
 * - `pool`: a valid superblock of a pool that this library can read.
 * - `garbage`: anything else, with the reason in `detail`. That includes a pool of a kernel with unknown features, so
 *   it does not prove that the device contains nothing of value.
 *
 * Throws RangeError unless given exactly 4096 bytes.
 */
export function classifySuperblock(bytes: Uint8Array): SuperblockKind {
  checkLength(bytes)
  if (bytes.every(byte => byte === 0)) return { kind: 'blank' }
  try {
    return { kind: 'pool', superblock: parseSuperblock(bytes) }
  } catch (error) {
    if (error instanceof MetadataError) return { kind: 'garbage', detail: error.message }
    throw error
  }
}

/**
 * The numbers of the blocks that must be zero for a metadata device to count as blank. The magic of every common file
 * system is in them.
 */
export const FIRST_BLOCKS: readonly number[] = Array.from({ length: 32 }, (_, block) => block)

/**
 * Reads and checks the superblock in block 0, or its copy in a metadata snapshot, which is at `block`. The copy has no
 * space maps: those of `main`, the superblock in block 0, are returned.
 *
 * Throws `DM_METADATA_CORRUPT` for a wrong checksum, magic number, version or location, for incompatible
 * feature flags, and for sizes or tree positions that no pool can have; RangeError unless given exactly 4096 bytes.
 */
export function parseSuperblock(bytes: Uint8Array, block = 0, main?: Superblock): Superblock {
  checkLength(bytes)
  const view = viewOf(bytes)
  const u32 = (offset: number): number => view.getUint32(offset, true)
  const u64 = (offset: number, field: string): number => safeU64(view, offset, block, field)

  // The magic number first: for a foreign block it is more informative than a wrong checksum.
  const magic = view.getBigUint64(32, true)
  if (magic !== BigInt(MAGIC)) throw corruptBlock(block, `not a thin pool superblock (magic number ${magic})`)
  const checksum = blockChecksum(bytes, CHECKSUM_SALT.superblock)
  if (u32(0) !== checksum) throw corruptBlock(block, `superblock checksum is ${u32(0)}, its content has ${checksum}`)
  if (view.getBigUint64(8, true) !== BigInt(block))
    throw corruptBlock(block, 'superblock was written for another location')
  if (u32(40) !== VERSION) throw corruptBlock(block, `metadata version ${u32(40)}, this library reads ${VERSION}`)
  if (u32(360) !== 0) throw corruptBlock(block, `incompatible features 0x${u32(360).toString(16)}`)
  if (u32(340) !== METADATA_BLOCK_SECTORS) throw corruptBlock(block, `metadata block size of ${u32(340)} sectors`)

  const spaceMap = (offset: number, name: string): SpaceMapRoot => ({
    blocks: u64(offset, `size of the ${name} space map`),
    allocated: u64(offset + 8, `allocation count of the ${name} space map`),
    bitmapRoot: u64(offset + 16, `bitmap root of the ${name} space map`),
    refCountRoot: u64(offset + 24, `reference count root of the ${name} space map`),
  })
  const superblock: Superblock = {
    needsCheck: (u32(4) & FLAG_NEEDS_CHECK) !== 0,
    time: u32(44),
    transactionId: view.getBigUint64(48, true),
    metadataSnapshotBlock: u64(56, 'metadata snapshot'),
    dataSpaceMap: main?.dataSpaceMap ?? spaceMap(64, 'data'),
    metadataSpaceMap: main?.metadataSpaceMap ?? spaceMap(192, 'metadata'),
    dataMappingRoot: u64(320, 'root of the mapping tree'),
    deviceDetailsRoot: u64(328, 'root of the details tree'),
    dataBlockSizeSectors: u32(336),
    formattedMetadataBlocks: u64(344, 'metadata size'),
    compatFlags: u32(352),
    compatReadOnlyFlags: u32(356),
  }
  checkSizes(superblock, block)
  checkPositions(superblock, block)
  return superblock
}

function checkSizes(
  { dataSpaceMap, metadataSpaceMap, dataBlockSizeSectors: sectors }: Superblock,
  block: number,
): void {
  if (metadataSpaceMap.blocks > MAX_METADATA_BLOCKS) {
    throw corruptBlock(block, `${metadataSpaceMap.blocks} metadata blocks, the maximum is ${MAX_METADATA_BLOCKS}`)
  }
  if (dataSpaceMap.blocks > MAX_DATA_BLOCKS) {
    throw corruptBlock(block, `${dataSpaceMap.blocks} data blocks, the maximum is ${MAX_DATA_BLOCKS}`)
  }
  for (const map of [dataSpaceMap, metadataSpaceMap]) {
    if (map.allocated > map.blocks) throw corruptBlock(block, `${map.allocated} of ${map.blocks} blocks allocated`)
  }
  if (sectors < MIN_DATA_BLOCK_SECTORS || sectors > MAX_DATA_BLOCK_SECTORS || sectors % MIN_DATA_BLOCK_SECTORS !== 0) {
    throw corruptBlock(block, `data block size of ${sectors} sectors`)
  }
}

function checkPositions(superblock: Superblock, block: number): void {
  const end = superblock.metadataSpaceMap.blocks
  const roots = {
    'mapping tree': superblock.dataMappingRoot,
    'details tree': superblock.deviceDetailsRoot,
  }
  for (const [name, root] of Object.entries(roots)) {
    if (root < 1 || root >= end) throw corruptBlock(block, `root of the ${name} at block ${root} of ${end}`)
  }
  if (superblock.metadataSnapshotBlock >= end) {
    throw corruptBlock(block, `metadata snapshot at block ${superblock.metadataSnapshotBlock} of ${end}`)
  }
}

function checkLength(bytes: Uint8Array): void {
  if (bytes.length !== METADATA_BLOCK_BYTES) {
    throw new RangeError(`A superblock is ${METADATA_BLOCK_BYTES} bytes, got ${bytes.length}`)
  }
}
