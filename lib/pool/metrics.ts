// The numbers of a pool for a monitor.
import { throwIfAborted } from '../base/errors.js'
import type { PoolMode } from '../target/thin-pool.js'
import { thinIds } from './state/live-metadata.js'
import { type PoolContext } from './state/context.js'
import { readPoolStatus } from './state/status.js'

/** The modes of a pool, from good to bad. `mode` of `PoolMetrics` is an index in this list. */
export const POOL_MODES: readonly PoolMode[] = ['rw', 'out_of_data_space', 'ro', 'fail', 'error']

/** The numbers of a pool. Those that the kernel does not report for a failed pool are undefined. */
export interface PoolMetrics {
  /** The part of the data blocks that volumes map, in bytes. */
  readonly dataUsedBytes: number | undefined
  /** Size of the data in bytes. */
  readonly dataTotalBytes: number | undefined
  /** The data block size in bytes. */
  readonly dataBlockBytes: number
  /** The allocated part of the metadata device, with the reserve for commits, in bytes. */
  readonly metadataUsedBytes: number | undefined
  /** Size of the metadata in bytes. */
  readonly metadataTotalBytes: number | undefined
  /** Used data in percent. */
  readonly dataPercent: number | undefined
  /** Used metadata in percent. */
  readonly metadataPercent: number | undefined
  /** Number of volumes and snapshots in the metadata, as of its last commit. Undefined if it cannot be read. */
  readonly volumes: number | undefined
  /** Number of snapshots that the pool can still take in its life. */
  readonly snapshotsLeft: number | undefined
  /** Index in `POOL_MODES`: 0 is `rw`. */
  readonly mode: number
  /** 1 if the metadata must be checked before the pool is written again. */
  readonly needsCheck: number
  /** 1 if writes to a full pool wait, 0 if they fail. */
  readonly queues: number
  /** The transaction id. See `ThinPool.setTransactionId`. */
  readonly transactionId: number | undefined
  /** Number of times that keepers of this object have found the pool full. */
  readonly waits: number
  /** Number of times that keepers of this object have grown the pool. */
  readonly growths: number
}

export async function readMetrics(context: PoolContext, signal?: AbortSignal): Promise<PoolMetrics> {
  const [status, volumes] = await Promise.all([
    readPoolStatus(context, signal),
    thinIds(context, signal).then(
      ids => ids.length,
      () => undefined,
    ),
  ])
  throwIfAborted(signal)
  const { data, metadata } = status
  return {
    dataUsedBytes: data?.usedBytes,
    dataTotalBytes: data?.totalBytes,
    dataBlockBytes: context.dataBlockBytes,
    metadataUsedBytes: metadata?.usedBytes,
    metadataTotalBytes: metadata?.totalBytes,
    dataPercent: data && percent(data),
    metadataPercent: metadata && percent(metadata),
    volumes: data && volumes,
    snapshotsLeft: status.snapshots?.left,
    mode: POOL_MODES.indexOf(status.mode),
    needsCheck: Number(status.needsCheck),
    queues: Number(status.whenFull === 'queue_if_no_space'),
    transactionId: status.transactionId === undefined ? undefined : Number(status.transactionId),
    ...context.counts,
  }
}

const percent = ({ usedBytes, totalBytes }: { readonly usedBytes: number; readonly totalBytes: number }): number =>
  (usedBytes / totalBytes) * 100
