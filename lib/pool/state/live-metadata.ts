// Reader of a running pool's metadata.
import { DmThinError, hasCode } from '../../base/errors.js'
import { nodePath } from '../../block/node-path.js'
import { findDevice, type ThinDevice } from '../../metadata/details.js'
import { type BlockSource, METADATA_BLOCK_BYTES } from '../../metadata/block-source.js'
import { readCommitted, thinUsage } from '../../metadata/reader.js'
import { poolTable, type PoolAddress } from './context.js'
import { explain } from './explain-error.js'
import { isSpareId, readMaking, readThins, type SparePool } from './spare-volumes.js'
import type { VolumeUsage } from './status.js'

/** Returns the volumes by ascending id, without the spares of a keeper. */
export async function thinDevices(pool: PoolAddress & SparePool, signal?: AbortSignal): Promise<ThinDevice[]> {
  for (let isLast = false; ; isLast = true) {
    const { volumes, empty } = await readMetadata(pool, signal, source => readThins(source, { signal }))
    const making = empty.length === 0 ? undefined : await readMaking(pool)
    const unknown = empty.filter(id => id !== making)
    // Read again: a keeper may have completed a spare between the two reads.
    if (unknown.length === 0 || isLast) return volumes.filter(({ id }) => id !== making)
  }
}

export async function thinIds(pool: PoolAddress & SparePool, signal?: AbortSignal): Promise<number[]> {
  return (await thinDevices(pool, signal)).map(({ id }) => id)
}

/** Returns true if the pool has a volume of this id. Reads one node of each level of the tree of volumes. */
export async function hasThin(pool: PoolAddress & SparePool, id: number, signal?: AbortSignal): Promise<boolean> {
  if (isSpareId(id)) return (await thinIds(pool, signal)).includes(id)
  return (await thinDevice(pool, id, signal)) !== undefined
}

/** Returns the mapped blocks of a volume, and undefined if the pool does not have it. Reads as few nodes as `hasThin`. */
export async function mappedBlocks(pool: PoolAddress, id: number, signal?: AbortSignal): Promise<number | undefined> {
  return (await thinDevice(pool, id, signal))?.mappedBlocks
}

function thinDevice(pool: PoolAddress, id: number, signal?: AbortSignal): Promise<ThinDevice | undefined> {
  const find = (source: BlockSource) =>
    readCommitted(source, { signal }, (superblock, reader) => findDevice(reader, superblock, id))
  return readMetadata(pool, signal, find)
}

/**
 * Returns the ids of the spares that keepers have made, of one that a keeper was making, and of the volumes of others that
 * have such an id.
 */
export async function spareIds(pool: PoolAddress & SparePool): Promise<{
  readonly spares: readonly number[]
  readonly halfMade: number | undefined
  readonly others: readonly number[]
}> {
  const { spares, empty, volumes } = await readMetadata(pool, undefined, source => readThins(source))
  const making = await readMaking(pool)
  const halfMade = empty.find(id => id === making)
  const others = volumes.map(({ id }) => id).filter(id => isSpareId(id) && id !== halfMade)
  return { spares, halfMade, others }
}

/** Counts the blocks of each volume, without the spares of a keeper. */
export async function readUsage(pool: PoolAddress & SparePool, signal?: AbortSignal): Promise<VolumeUsage[]> {
  const all = await readMetadata(pool, signal, source => thinUsage(source, { signal }))
  const shown = all.some(({ id }) => isSpareId(id)) ? await thinIds(pool, signal) : []
  const volumes = all.filter(({ id }) => !isSpareId(id) || shown.includes(id))
  return volumes.map(({ id, mappedBlocks, exclusiveBlocks, sharedBlocks }) => ({
    id,
    mappedBlocks,
    exclusiveBlocks,
    sharedBlocks,
  }))
}

/**
 * Reads the metadata of a running pool. Rejects with `DM_NOT_FOUND` if the pool was removed during the read: another pool
 * may have its device since, so what was read is not used. Reads again if `read` finds the metadata corrupt and its device
 * has grown during the read: the new blocks were looked up on the device of the old size.
 */
export async function readMetadata<T>(
  pool: PoolAddress,
  signal: AbortSignal | undefined,
  read: (source: BlockSource) => Promise<T>,
): Promise<T> {
  for (let source = await metadataOf(pool, signal); ;) {
    try {
      const found = await read(source)
      await poolTable(pool, signal)
      return found
    } catch (fault) {
      const now = await metadataOf(pool, signal).catch((second: unknown) => {
        if (hasCode(second, 'DM_NOT_FOUND')) throw second
      })
      const hasGrown = now !== undefined && now.blockCount !== source.blockCount
      if (!hasGrown || !hasCode(fault, 'DM_METADATA_CORRUPT')) throw await whyUnreadable(pool, fault)
      source = now
    }
  }
}

/** Returns a reader of a running pool's metadata blocks that bypasses the page cache, which is stale. */
async function metadataOf(pool: PoolAddress, signal?: AbortSignal): Promise<BlockSource> {
  const { port } = pool
  const path = nodePath((await poolTable(pool, signal)).metadataDevice)
  const blockCount = Math.floor((await port.blockSizeBytes(path, signal)) / METADATA_BLOCK_BYTES)
  return { blockCount, read: blocks => port.readBlocks(path, blocks, METADATA_BLOCK_BYTES, false, signal) }
}

/** Replaces a read error by the pool's failure, if the pool has failed: that is the usual cause. */
async function whyUnreadable(pool: PoolAddress, fault: unknown): Promise<unknown> {
  const explains = fault instanceof DmThinError ? await explain(pool, fault) : undefined
  return explains?.code === 'DM_POOL_FAILED' ? explains : fault
}
