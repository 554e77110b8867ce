// The loader of a pool's state from its metadata: that of the memory kernel, or an image of a real pool.
import { ERRNO } from '../base/errors.js'
import { METADATA_BLOCK_BYTES, viewOf } from '../metadata/block-source.js'
import { MAPPING_BYTES, mappedDataBlock, mappedTime, parseNode, type BtreeNode } from '../metadata/btree.js'
import { MAX_LEVELS } from '../metadata/btree-walk.js'
import { DETAILS_BYTES, deviceAt, ROOT_BYTES } from '../metadata/details.js'
import { corruptBlock, MetadataError } from '../metadata/metadata-error.js'
import { parseSuperblock, type Superblock } from '../metadata/superblock.js'
import { PoolMetadata, type Mapping, type Thin } from './pool-metadata.js'
import { TableRefusal } from './refusal.js'
import type { Bytes } from './sparse-bytes.js'

export const isBlank = (metadata: Bytes): boolean => blockOf(metadata, 0).every(byte => byte === 0)

const blockOf = (metadata: Bytes, block: number): Uint8Array =>
  metadata.read(block * METADATA_BLOCK_BYTES, METADATA_BLOCK_BYTES)

/**
 * Loads the metadata. Throws the errors of the kernel: ENOTBLK if a block was written for another place, EILSEQ for other
 * damage.
 */
export function loadMetadata(metadata: Bytes): PoolMetadata {
  const first = blockOf(metadata, 0)
  const reason = 'Error creating metadata object'
  if (viewOf(first).getBigUint64(8, true) !== 0n) throw new TableRefusal(ERRNO.ENOTBLK, reason)
  try {
    return stateOf(metadata, parseSuperblock(first))
  } catch (fault) {
    if (fault instanceof MetadataError) throw new TableRefusal(ERRNO.EILSEQ, reason)
    throw fault
  }
}

function stateOf(metadata: Bytes, found: Superblock): PoolMetadata {
  const sizes = {
    blockSectors: found.dataBlockSizeSectors,
    dataBlocks: found.dataSpaceMap.blocks,
    metadataBlocks: found.metadataSpaceMap.blocks,
  }
  const state = new PoolMetadata(sizes, found.formattedMetadataBlocks)
  state.time = found.time
  state.transactionId = found.transactionId
  state.needsCheck = found.needsCheck
  for (const thin of thinsOf(metadata, found, sizes.metadataBlocks)) state.addThin(thin)
  if (found.metadataSnapshotBlock !== 0) {
    const block = found.metadataSnapshotBlock
    const held = parseSuperblock(blockOf(metadata, block), block, found)
    const { time, transactionId } = held
    state.hold({ time, transactionId, thins: thinsOf(metadata, held, sizes.metadataBlocks) })
  }
  return state
}

function thinsOf(
  metadata: Bytes,
  roots: Pick<Superblock, 'dataMappingRoot' | 'deviceDetailsRoot'>,
  metadataBlocks: number,
): Thin[] {
  const walk = (root: number, leafValueBytes: number, entry: (key: number, node: BtreeNode, at: number) => void) => {
    const seen = new Set<number>()
    const visit = (block: number, level: number) => {
      if (seen.has(block) || level > MAX_LEVELS) throw corruptBlock(block, `reached again, or at level ${level}`)
      seen.add(block)
      const node = parseNode(blockOf(metadata, block), block, { leafValueBytes, metadataBlocks })
      for (let at = 0; at < node.count; at++) {
        if (node.leaf) entry(node.key(at), node, at)
        else visit(node.blockNumber(at), level + 1)
      }
    }
    visit(root, 1)
  }
  const trees = new Map<number, Map<number, Mapping>>()
  walk(roots.dataMappingRoot, ROOT_BYTES, (id, node, at) => {
    const mappings = new Map<number, Mapping>()
    walk(node.blockNumber(at), MAPPING_BYTES, (virtual, leaf, index) => {
      mappings.set(virtual, { block: mappedDataBlock(leaf, index), time: mappedTime(leaf, index) })
    })
    trees.set(id, mappings)
  })
  const thins: Thin[] = []
  walk(roots.deviceDetailsRoot, DETAILS_BYTES, (id, node, at) => {
    const { transactionId, creationTime, snapshottedTime } = deviceAt(id, node, at)
    const mappings = trees.get(id) ?? new Map<number, Mapping>()
    thins.push({ id, mappings, transactionId, creationTime, snapshottedTime })
  })
  return thins
}
