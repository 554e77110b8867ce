// The loader of a pool's state from its metadata: that of the memory kernel, or an image of a real pool.
import { ERRNO } from '../base/errors.js'
import { METADATA_BLOCK_BYTES, safeU64, viewOf } from '../metadata/block-source.js'
import { mappedDataBlock, parseNode, type BtreeNode } from '../metadata/btree.js'
import { MAX_LEVELS } from '../metadata/btree-walk.js'
import { corruptBlock, MetadataError } from '../metadata/metadata-error.js'
import { parseSuperblock, type Superblock } from '../metadata/superblock.js'
import { PoolMetadata, type Mapping, type Thin } from './pool-metadata.js'
import { TableRefusal } from './refusal.js'
import type { Bytes } from './sparse-bytes.js'

const DETAILS_BYTES = 24

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
    const view = viewOf(blockOf(metadata, found.metadataSnapshotBlock))
    const rootAt = (offset: number) => safeU64(view, offset, found.metadataSnapshotBlock, 'root of a tree')
    const roots = { dataMappingRoot: rootAt(320), deviceDetailsRoot: rootAt(328) }
    const thins = thinsOf(metadata, roots, sizes.metadataBlocks)
    state.hold({ time: view.getUint32(44, true), transactionId: view.getBigUint64(48, true), thins })
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
  walk(roots.dataMappingRoot, 8, (id, node, at) => {
    const mappings = new Map<number, Mapping>()
    walk(node.blockNumber(at), 8, (virtual, leaf, index) => {
      const time = leaf.view.getUint32(leaf.valueOffset(index), true) & 0xffffff
      mappings.set(virtual, { block: mappedDataBlock(leaf, index), time })
    })
    trees.set(id, mappings)
  })
  const thins: Thin[] = []
  walk(roots.deviceDetailsRoot, DETAILS_BYTES, (id, node, at) => {
    const offset = node.valueOffset(at)
    thins.push({
      id,
      mappings: trees.get(id) ?? new Map<number, Mapping>(),
      transactionId: node.view.getBigUint64(offset + 8, true),
      creationTime: node.view.getUint32(offset + 16, true),
      snapshottedTime: node.view.getUint32(offset + 20, true),
    })
  })
  return thins
}
