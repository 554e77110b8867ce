// Reader of a running pool's metadata.
import { DmThinError, hasCode } from '../../base/errors.js'
import { nodePath } from '../../block/node-path.js'
import { METADATA_BLOCK_BYTES, type BlockSource } from '../../metadata/block-source.js'
import { poolTable, type PoolAddress } from './context.js'
import { explain } from './explain-error.js'

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
