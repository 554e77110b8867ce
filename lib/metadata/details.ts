// The details tree and the roots of mapping trees, by thin id.
import { safeU64 } from './block-source.js'
import { type BtreeNode, checkBlockNumber } from './btree.js'
import { findEntry, type NodeReader, walkEntries } from './btree-walk.js'
import { corruptBlock } from './metadata-error.js'
import type { Superblock } from './superblock.js'

// `struct disk_device_details`, dm-thin-metadata.c.
export const DETAILS_BYTES = 24
export const ROOT_BYTES = 8
// `MAX_DEV_ID` in dm-thin.c: thin ids have 24 bits.
const MAX_THIN_ID = 2 ** 24 - 1

/** The metadata of one volume. It has no size, which is only in the table of an active volume. */
export interface ThinDevice {
  /** 0 to 2^24-1. */
  readonly id: number
  /** Data blocks mapped, shared ones included, as the kernel counts them. */
  readonly mappedBlocks: number
  /** The pool's transaction id when the volume was created. */
  readonly transactionId: bigint
  /** The pool's snapshot clock when the volume was created (u32, not a time of day). */
  readonly creationTime: number
  /** The snapshot clock when the volume last took part in a snapshot; older mappings may be shared. */
  readonly snapshottedTime: number
}

/** Returns all volumes of the pool by ascending id. Reads only the details tree: one node per 42 to 126 volumes. */
export async function readDevices(reader: NodeReader, superblock: Superblock): Promise<ThinDevice[]> {
  const devices: ThinDevice[] = []
  await walkEntries(reader, superblock.deviceDetailsRoot, DETAILS_BYTES, (key, node, index) => {
    devices.push(deviceAt(checkThinId(key, node), node, index))
  })
  return devices
}

/** Returns one volume; undefined if there is none with this id. */
export async function findDevice(
  reader: NodeReader,
  superblock: Superblock,
  id: number,
): Promise<ThinDevice | undefined> {
  const found = await findEntry(reader, superblock.deviceDetailsRoot, DETAILS_BYTES, id)
  return found && deviceAt(id, found.node, found.index)
}

/** Returns the volume at an index of a leaf of the details tree. */
export function deviceAt(id: number, node: BtreeNode, index: number): ThinDevice {
  const offset = node.valueOffset(index)
  return {
    id,
    mappedBlocks: safeU64(node.view, offset, node.block, `mapped blocks of thin ${id}`),
    transactionId: node.view.getBigUint64(offset + 8, true),
    creationTime: node.view.getUint32(offset + 16, true),
    snapshottedTime: node.view.getUint32(offset + 20, true),
  }
}

/** Returns the root block of each volume's mapping tree by thin id, ascending. Snapshots may share a root. */
export async function readMappingRoots(reader: NodeReader, superblock: Superblock): Promise<Map<number, number>> {
  const roots = new Map<number, number>()
  await walkEntries(reader, superblock.dataMappingRoot, ROOT_BYTES, (key, node, index) => {
    roots.set(checkThinId(key, node), checkBlockNumber(node, index, reader.metadataBlocks))
  })
  return roots
}

/** Returns the root block of one volume's mapping tree; undefined if there is no such volume. */
export async function findMappingRoot(
  reader: NodeReader,
  superblock: Superblock,
  id: number,
): Promise<number | undefined> {
  const found = await findEntry(reader, superblock.dataMappingRoot, ROOT_BYTES, id)
  return found && checkBlockNumber(found.node, found.index, reader.metadataBlocks)
}

function checkThinId(key: number, node: BtreeNode): number {
  if (key > MAX_THIN_ID) throw corruptBlock(node.block, `thin id ${key}, the highest is ${MAX_THIN_ID}`)
  return key
}
