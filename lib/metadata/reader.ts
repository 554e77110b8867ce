import { throwIfAborted } from '../base/errors.js'
import type { BlockSource } from './block-source.js'
import { NodeReader, readBlocks } from './btree-walk.js'
import { readDevices, readMappingRoots, type ThinDevice } from './details.js'
import { countMappings } from './mappings.js'
import { corruptBlock, MetadataError } from './metadata-error.js'
import { parseSuperblock, type Superblock } from './superblock.js'

/** How to read the metadata of a pool that may be in use. */
export interface ReadOptions {
  /** Rejects with the signal's reason, between two reads. */
  readonly signal?: AbortSignal | undefined
  /** How often to start before giving up with `DM_METADATA_BUSY`. Default 50, at least 1. */
  readonly attempts?: number | undefined
}

/** The superblock and the thins, from one and the same commit. */
export interface PoolMetadata {
  readonly superblock: Superblock
  readonly thins: ThinDevice[]
}

/** One thin with its share of the pool, in data blocks: the EXCLUSIVE and SHARED of `thin_ls`. */
export interface ThinUsage extends ThinDevice {
  /** Data blocks mapped, counted in the tree: here `exclusiveBlocks + sharedBlocks`. */
  readonly mappedBlocks: number
  /** Mapped by this thin alone: what deleting it would give back. */
  readonly exclusiveBlocks: number
  /** Mapped by another thin too. */
  readonly sharedBlocks: number
}

/**
 * Reads the superblock and the list of thins. Works on a pool in use, on an inactive one and on an image.
 *
 * Rejects with `DM_METADATA_CORRUPT` (with the block), `DM_METADATA_BUSY`, the signal's reason, or whatever the
 * source rejects with. A blank device is corrupt here: ask `classifySuperblock` first where that is expected.
 */
export function readPoolMetadata(source: BlockSource, options: ReadOptions = {}): Promise<PoolMetadata> {
  return readCommitted(source, options, async (superblock, reader) => ({
    superblock,
    thins: await readDevices(reader, superblock),
  }))
}

/**
 * The thins of a pool by ascending id. Cheap: the mappings are not read. Rejects like {@link readPoolMetadata}.
 */
export async function listThins(source: BlockSource, options: ReadOptions = {}): Promise<ThinDevice[]> {
  return (await readPoolMetadata(source, options)).thins
}

/**
 * The thins of a pool by ascending id, with exclusive and shared blocks counted.
 *
 * Reads every distinct node of every mapping tree, and leaves of one thin alone up to twice: about 8 MiB for a
 * million unshared mappings. A pool that commits faster than this takes (the kernel commits each second while there
 * are writes, and on each flush) ends in `DM_METADATA_BUSY`. Rejects like {@link readPoolMetadata}.
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

function checkSameThins(superblock: Superblock, devices: readonly ThinDevice[], roots: Map<number, number>): void {
  const without = devices.find(({ id }) => !roots.has(id))
  if (without) throw corruptBlock(superblock.dataMappingRoot, `thin ${without.id} has details but no mapping tree`)
  if (roots.size > devices.length) {
    const ids = new Set(devices.map(({ id }) => id))
    const extra = [...roots.keys()].find(id => !ids.has(id))
    throw corruptBlock(superblock.deviceDetailsRoot, `thin ${extra} has a mapping tree but no details`)
  }
}

/**
 * Runs `walk` so that all it reads belongs to one commit, without stopping the pool.
 *
 * Why this is sound: thin metadata is copy-on-write in transactions. The kernel only allocates metadata blocks that
 * are free both now and in the last committed state, so nothing the superblock on disk leads to is overwritten until
 * a later superblock has been written and flushed; and a commit that changed anything moved the roots of the trees
 * and space maps it touched, so that superblock differs. If the 4096 bytes are the same after the walk as before it,
 * no block of the walk was replaced meanwhile. If they differ, whatever was read, damage included, may be a mixture
 * and counts for nothing. (For the bytes to come back to what they were, a series of commits would have to place
 * every root on its old block and keep all counts, while the walk runs.)
 *
 * All this holds only for reads that see the disk: see {@link BlockSource} on `O_DIRECT`.
 */
async function readCommitted<T>(
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
