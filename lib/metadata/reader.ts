// Reader of a pool's metadata from a single commit: superblock, list of volumes, their usage.
import { throwIfAborted } from '../base/errors.js'
import type { BlockSource } from './block-source.js'
import { NodeReader, readBlocks } from './btree-walk.js'
import { readDevices, readMappingRoots, type ThinDevice } from './details.js'
import { countMappings } from './mappings.js'
import { corruptBlock, MetadataError } from './metadata-error.js'
import { parseSuperblock, type Superblock } from './superblock.js'

/** Options for reading the metadata of a pool that may be in use. */
export interface ReadOptions {
  /** Aborts between two reads: rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
  /** Maximum number of attempts, after which it rejects with `DM_METADATA_BUSY`. Default 50, at least 1. */
  readonly attempts?: number | undefined
}

/** The superblock and the volumes, from the same commit. */
export interface PoolMetadata {
  readonly superblock: Superblock
  readonly thins: ThinDevice[]
}

/** One volume with its space in the pool, in data blocks: the EXCLUSIVE and SHARED of `thin_ls`. */
export interface ThinUsage extends ThinDevice {
  /** Data blocks mapped, counted in the tree: here `exclusiveBlocks + sharedBlocks`. */
  readonly mappedBlocks: number
  /** Data blocks mapped by this volume alone: deleting it frees them. */
  readonly exclusiveBlocks: number
  /** Data blocks mapped by another volume too. */
  readonly sharedBlocks: number
}

/**
 * Reads the superblock and the list of volumes. Works on a pool in use, on an inactive one and on an image.
 *
 * Rejects with `DM_METADATA_CORRUPT` (with the block), `DM_METADATA_BUSY`, the signal's reason, or the error of the
 * source. A blank device counts as corrupt: call `classifySuperblock` first if a blank one is expected.
 */
export function readPoolMetadata(source: BlockSource, options: ReadOptions = {}): Promise<PoolMetadata> {
  return readCommitted(source, options, async (superblock, reader) => ({
    superblock,
    thins: await readDevices(reader, superblock),
  }))
}

/**
 * Returns the volumes of a pool by ascending id. Cheap: the mappings are not read. Rejects like {@link
 * readPoolMetadata}.
 */
export async function listThins(source: BlockSource, options: ReadOptions = {}): Promise<ThinDevice[]> {
  return (await readPoolMetadata(source, options)).thins
}

/**
 * Returns the volumes of a pool by ascending id, with exclusive and shared blocks counted.
 *
 * Reads every distinct node of every mapping tree, and leaves of one volume alone up to twice: about 8 MiB for a
 * million unshared mappings. Rejects with `DM_METADATA_BUSY` if the pool commits faster than this takes (the kernel
 * commits each second while there are writes, and on each flush). Also rejects like {@link readPoolMetadata}.
 */
export function thinUsage(source: BlockSource, options: ReadOptions = {}): Promise<ThinUsage[]> {
  return readCommitted(source, options, async (superblock, reader) => {
    const devices = await readDevices(reader, superblock)
    const roots = await readMappingRoots(reader, superblock)
    checkSameThins(superblock, devices, roots)
    const counts = await countMappings(reader, [...roots.values()], superblock.dataSpaceMap.blocks)
    return devices.map((device, i) => {
      const { mapped, exclusive } = counts[i]!
      return { ...device, mappedBlocks: mapped, exclusiveBlocks: exclusive, sharedBlocks: mapped - exclusive }
    })
  })
}

/** Throws `DM_METADATA_CORRUPT` if the two trees list different volumes. */
export function checkSameThins(
  superblock: Superblock,
  devices: readonly ThinDevice[],
  roots: Map<number, number>,
): void {
  const without = devices.find(({ id }) => !roots.has(id))
  if (without) throw corruptBlock(superblock.dataMappingRoot, `thin ${without.id} has details but no mapping tree`)
  if (roots.size > devices.length) {
    const ids = new Set(devices.map(({ id }) => id))
    const extra = [...roots.keys()].find(id => !ids.has(id))
    throw corruptBlock(superblock.deviceDetailsRoot, `thin ${extra} has a mapping tree but no details`)
  }
}

/**
 * Runs `walk` so that all its reads belong to one commit, without stopping the pool.
 *
 * Why this is sound: pool metadata is copy-on-write in transactions. The kernel only allocates metadata blocks that are
 * free both now and in the last committed state, so nothing that the superblock on disk refers to is overwritten until
 * a later superblock has been written and flushed; and a commit with a change has moved the roots of the trees and
 * space maps that it changed, so that its superblock differs. If the 4096 bytes are the same after the walk as before
 * it, no block of the walk was replaced during it. If they differ, the blocks read, corrupt ones included, may be a
 * mixture and are discarded. (For the bytes to return to their former value, a series of commits would have to place
 * every root on its old block and keep all counts, while the walk runs.)
 *
 * All this holds only for reads that reach the disk: see {@link BlockSource} on `O_DIRECT`.
 */
export async function readCommitted<T>(
  source: BlockSource,
  { signal, attempts = 50 }: ReadOptions,
  walk: (superblock: Superblock, reader: NodeReader) => Promise<T>,
): Promise<T> {
  if (!Number.isSafeInteger(attempts) || attempts < 1)
    throw new RangeError(`attempts must be 1 or more, got ${attempts}`)
  throwIfAborted(signal)
  let before = await readSuperblock(source)
  for (let attempt = 1; attempt <= attempts; attempt++) {
    const outcome = await attemptWalk(source, before, signal, walk)
    throwIfAborted(signal)
    const after = await readSuperblock(source)
    if (Buffer.compare(before, after) === 0) {
      if ('damage' in outcome) throw outcome.damage
      return outcome.value
    }
    before = after
  }
  throw new MetadataError(
    'DM_METADATA_BUSY',
    `The pool committed during each of ${attempts} attempts to read its metadata`,
  )
}

type Outcome<T> = { readonly value: T } | { readonly damage: MetadataError }

async function attemptWalk<T>(
  source: BlockSource,
  block: Uint8Array,
  signal: AbortSignal | undefined,
  walk: (superblock: Superblock, reader: NodeReader) => Promise<T>,
): Promise<Outcome<T>> {
  try {
    const superblock = parseSuperblock(block)
    const metadataBlocks = superblock.metadataSpaceMap.blocks
    if (source.blockCount !== undefined && metadataBlocks > source.blockCount) {
      throw corruptBlock(0, `${metadataBlocks} metadata blocks on a device of ${source.blockCount}`)
    }
    return { value: await walk(superblock, new NodeReader(source, { metadataBlocks, signal })) }
  } catch (error) {
    if (error instanceof MetadataError) return { damage: error }
    throw error
  }
}

async function readSuperblock(source: BlockSource): Promise<Uint8Array> {
  const [block] = await readBlocks(source, [0])
  return block!
}
