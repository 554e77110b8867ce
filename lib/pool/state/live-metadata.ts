// Reads the metadata of a pool that is up.
import { DmThinError, hasCode } from '../../base/errors.js'
import { nodePath } from '../../block/node-path.js'
import { type BlockSource, METADATA_BLOCK_BYTES } from '../../metadata/block-source.js'
import { listThins } from '../../metadata/reader.js'
import { poolTable, type PoolAddress } from './context.js'
import { explain } from './explain-error.js'

export async function thinIds(pool: PoolAddress, signal?: AbortSignal): Promise<number[]> {
  const thins = await readMetadata(pool, signal, source => listThins(source, { signal }))
  return thins.map(thin => thin.id)
}

/**
 * Reads the metadata of a live pool. Where `read` finds it corrupt although its device has grown meanwhile, it reads it
 * again: it looked for the new blocks on the device as it was before.
 */
export async function readMetadata<T>(
  pool: PoolAddress,
  signal: AbortSignal | undefined,
  read: (source: BlockSource) => Promise<T>,
): Promise<T> {
  for (let source = await metadataOf(pool, signal); ;) {
    try {
      return await read(source)
    } catch (fault) {
      const now = hasCode(fault, 'DM_METADATA_CORRUPT')
        ? await metadataOf(pool, signal).catch(() => undefined)
        : undefined
      if (!now || now.blockCount === source.blockCount) throw await whyUnreadable(pool, fault)
      source = now
    }
  }
}

/** Reads metadata blocks of a live pool past the page cache, which is stale. */
async function metadataOf(pool: PoolAddress, signal?: AbortSignal): Promise<BlockSource> {
  const { port } = pool
  const path = nodePath((await poolTable(pool, signal)).metadataDevice)
  const blockCount = Math.floor((await port.blockSizeBytes(path, signal)) / METADATA_BLOCK_BYTES)
  return { blockCount, read: blocks => port.readBlocks(path, blocks, METADATA_BLOCK_BYTES, false, signal) }
}

/** What cannot be read any more has mostly failed the pool before. */
async function whyUnreadable(pool: PoolAddress, fault: unknown): Promise<unknown> {
  const explains = fault instanceof DmThinError ? await explain(pool, fault) : undefined
  return explains?.code === 'DM_POOL_FAILED' ? explains : fault
}
