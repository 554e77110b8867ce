// The numbers of a pool for a monitor.
import { throwIfAborted } from '../base/errors.js'
import type { PoolMode } from '../target/thin-pool.js'
import type { ThinDevice } from '../metadata/details.js'
import { thinDevices } from './metadata-read/live-volumes.js'
import { type PoolContext } from './state/context.js'
import { readPoolStatus } from './state/status.js'

/** The modes of a pool, from good to bad. `mode` of `PoolMetrics` is an index in this list. */
export const POOL_MODES: readonly PoolMode[] = ['rw', 'out_of_data_space', 'ro', 'fail', 'error']

/** The space of one volume in `PoolMetrics`. */
export interface VolumeSpace {
  /** The number of the volume in its pool, 0 to 2^24-1. */
  readonly id: number
  /** The name in the pool's record. Undefined if the pool has no record, or the volume was never activated. */
  readonly name: string | undefined
  /** The data that the volume maps, in bytes, shared blocks included. */
  readonly mappedBytes: number
}

/** The numbers of a pool. Those that the kernel does not report for a failed pool are undefined. */
export interface PoolMetrics {
  /** The part of the data blocks that volumes map, with the spare blocks of a keeper, in bytes. */
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
  /** The space of each volume and snapshot, by ascending id, as of the last commit. Undefined if it cannot be read. */
  readonly volumeSpace: readonly VolumeSpace[] | undefined
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
  const [status, thins] = await Promise.all([
    readPoolStatus(context, signal),
    thinDevices(context, signal).catch(() => undefined),
  ])
  throwIfAborted(signal)
  const { data, metadata } = status
  const volumeSpace = data && thins && spaceOf(context, thins)
  return {
    dataUsedBytes: data?.usedBytes,
    dataTotalBytes: data?.totalBytes,
    dataBlockBytes: context.dataBlockBytes,
    metadataUsedBytes: metadata?.usedBytes,
    metadataTotalBytes: metadata?.totalBytes,
    dataPercent: data && percent(data),
    metadataPercent: metadata && percent(metadata),
    volumes: volumeSpace?.length,
    volumeSpace,
    snapshotsLeft: status.snapshots?.left,
    mode: POOL_MODES.indexOf(status.mode),
    needsCheck: Number(status.needsCheck),
    queues: Number(status.whenFull === 'queue_if_no_space'),
    transactionId: status.transactionId === undefined ? undefined : Number(status.transactionId),
    ...context.counts,
  }
}

const spaceOf = ({ record, dataBlockBytes }: PoolContext, thins: readonly ThinDevice[]): VolumeSpace[] =>
  thins.map(({ id, mappedBlocks }) => ({
    id,
    name: record?.content.volumes.get(id)?.name,
    mappedBytes: mappedBlocks * dataBlockBytes,
  }))

const percent = ({ usedBytes, totalBytes }: { readonly usedBytes: number; readonly totalBytes: number }): number =>
  (usedBytes / totalBytes) * 100
