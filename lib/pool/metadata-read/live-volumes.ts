// The volumes of a running pool, read from its metadata.
import { findDevice, type ThinDevice } from '../../metadata/details.js'
import type { BlockSource } from '../../metadata/block-source.js'
import { readCommitted, thinUsage } from '../../metadata/reader.js'
import type { PoolAddress } from '../state/context.js'
import { readMetadata } from '../state/live-metadata.js'
import type { VolumeUsage } from '../state/status.js'
import { isSpareId, readMaking, readThins, type SparePool } from '../spares/spare-volumes.js'

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
