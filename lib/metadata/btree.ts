// The node of an on-disk B-tree: parser and checks.
import { METADATA_BLOCK_BYTES, safeU64, viewOf } from './block-source.js'
import { blockChecksum, CHECKSUM_SALT } from './crc32c.js'
import { corruptBlock } from './metadata-error.js'

// `struct node_header` and `enum node_flags`, drivers/md/persistent-data/dm-btree-internal.h.
export const FLAG_INTERNAL = 1
export const FLAG_LEAF = 2
export const HEADER_BYTES = 32
const KEY_BYTES = 8
const CHILD_BYTES = 8

/** A checked node of an on-disk B-tree: keys ascend, and each has a value (leaf) or a child (internal node). */
export class BtreeNode {
  /** Number of keys. 0 only in a leaf. */
  readonly count: number
  readonly leaf: boolean
  readonly valueBytes: number
  private readonly valuesAt: number

  /** Use {@link parseNode}: the constructor does not check the header. */
  constructor(
    readonly block: number,
    readonly view: DataView,
  ) {
    this.leaf = view.getUint32(4, true) === FLAG_LEAF
    this.count = view.getUint32(16, true)
    this.valueBytes = view.getUint32(24, true)
    this.valuesAt = HEADER_BYTES + KEY_BYTES * view.getUint32(20, true)
  }

  key(index: number): number {
    return safeU64(this.view, HEADER_BYTES + KEY_BYTES * index, this.block, `key ${index}`)
  }

  /** Returns the offset of a value in {@link view}. */
  valueOffset(index: number): number {
    return this.valuesAt + this.valueBytes * index
  }

  /** Returns a value that is a block number of this metadata device: a child, or the root of another tree. */
  blockNumber(index: number): number {
    return safeU64(this.view, this.valueOffset(index), this.block, `block number ${index}`)
  }
}

/** The requirements on a node besides being well formed. */
export interface NodeRules {
  /** Bytes of one leaf value in this kind of tree. */
  readonly leafValueBytes: number
  /** Children must lie below this block. */
  readonly metadataBlocks: number
}

/**
 * Checks and opens a B-tree node read from `block`.
 *
 * Throws `DM_METADATA_CORRUPT` with that block unless the checksum matches, the node contains this block number, it is
 * either leaf or internal, its arrays fit the block, its values have the expected size, its keys ascend strictly and
 * its children are blocks of this device other than the superblock.
 */
export function parseNode(bytes: Uint8Array, block: number, rules: NodeRules): BtreeNode {
  const view = viewOf(bytes)
  const stored = view.getUint32(0, true)
  const checksum = blockChecksum(bytes, CHECKSUM_SALT.btreeNode)
  if (stored !== checksum) throw corruptBlock(block, `tree node checksum is ${stored}, its content has ${checksum}`)
  const location = view.getBigUint64(8, true)
  if (location !== BigInt(block)) throw corruptBlock(block, `tree node was written for block ${location}`)
  checkHeader(view, block, rules)

  const node = new BtreeNode(block, view)
  let previous = -1
  for (let i = 0; i < node.count; i++) {
    const key = node.key(i)
    if (key <= previous) throw corruptBlock(block, `key ${i} is ${key}, after ${previous}`)
    previous = key
  }
  if (!node.leaf) {
    for (let i = 0; i < node.count; i++) checkBlockNumber(node, i, rules.metadataBlocks)
  }
  return node
}

function checkHeader(view: DataView, block: number, rules: NodeRules): void {
  const flags = view.getUint32(4, true)
  const count = view.getUint32(16, true)
  const capacity = view.getUint32(20, true)
  const valueBytes = view.getUint32(24, true)
  if (flags !== FLAG_INTERNAL && flags !== FLAG_LEAF)
    throw corruptBlock(block, `tree node flags 0x${flags.toString(16)}`)
  const expected = flags === FLAG_LEAF ? rules.leafValueBytes : CHILD_BYTES
  if (valueBytes !== expected) throw corruptBlock(block, `tree node values of ${valueBytes} bytes, not ${expected}`)
  if (HEADER_BYTES + (KEY_BYTES + valueBytes) * capacity > METADATA_BLOCK_BYTES) {
    throw corruptBlock(block, `tree node with room for ${capacity} entries does not fit a block`)
  }
  if (count > capacity) throw corruptBlock(block, `tree node has ${count} entries, room for ${capacity}`)
  if (count === 0 && flags === FLAG_INTERNAL) throw corruptBlock(block, 'internal tree node without children')
}

/** Returns the block number in entry `index` of `node`, checked to be a tree block of this device. */
export function checkBlockNumber(node: BtreeNode, index: number, metadataBlocks: number): number {
  const target = node.blockNumber(index)
  // Block 0 is the superblock, never part of a tree.
  if (target < 1 || target >= metadataBlocks) {
    throw corruptBlock(node.block, `entry ${index} points to block ${target} of ${metadataBlocks}`)
  }
  return target
}

/** Bytes of a value in a volume's mapping tree. */
export const MAPPING_BYTES = 8

/**
 * Returns the data block of a mapping: the upper 40 bits of its value. (The lower 24 are the snapshot clock at its
 * creation, `pack_block_time` in dm-thin-metadata.c.) It is below 2^40, so exact as a number.
 */
export function mappedDataBlock(node: BtreeNode, index: number): number {
  const offset = node.valueOffset(index)
  return node.view.getUint32(offset + 4, true) * 256 + node.view.getUint8(offset + 3)
}

/** Returns the snapshot clock of a mapping: the lower 24 bits of its value. */
export const mappedTime = (node: BtreeNode, index: number): number =>
  node.view.getUint32(node.valueOffset(index), true) & 0xffffff
