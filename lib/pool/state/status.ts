// Status of pools and volumes, in bytes and blocks.
import { METADATA_BLOCK_BYTES } from '../../metadata/block-source.js'
import { parsePoolStatus, type PoolMode, type PoolTable } from '../../target/thin-pool.js'
import { parseThinStatus } from '../../target/thin.js'
import { sectorsToBytes } from '../../base/units.js'
import { poolStatusLine, tableOfPool, type PoolContext } from './context.js'
import { snapshotsStatus, snapshotTimeIn, type SnapshotsStatus } from './snapshot-clock.js'

/** The used and the total space of a device of the pool, in its blocks and in bytes. */
export interface SpaceStatus {
  /** The number of allocated blocks. */
  readonly usedBlocks: number
  /** The number of blocks of the device. */
  readonly totalBlocks: number
  /** The size of a block in bytes: `dataBlockBytes` of the pool for data, 4096 for metadata. */
  readonly blockBytes: number
  /** The size of the allocated blocks in bytes. */
  readonly usedBytes: number
  /** The size of all blocks in bytes. */
  readonly totalBytes: number
}

/** The fields that a pool has in every mode. */
export interface PoolStatusBase {
  /** The free space at or below which the kernel raises the low-water event, from the pool's table. */
  readonly lowWaterMark: {
    /** The mark in data blocks, as `lowWaterMarkBlocks` sets it. */
    readonly blocks: number
    /** The mark in bytes: `blocks` times the data block size. */
    readonly bytes: number
  }
  /**
   * True if the metadata must be checked (thin_check) before the pool is written again. Always true for a failed pool.
   */
  readonly needsCheck: boolean
  /**
   * The handling of discards of volumes. `discard_passdown`: blocks are freed, and the data device receives the
   * discard. `no_discard_passdown`: blocks are freed only. `ignore_discard`: blocks stay allocated.
   */
  readonly discard: 'discard_passdown' | 'no_discard_passdown' | 'ignore_discard'
  /**
   * The handling of writes if the pool is out of data space. `queue_if_no_space`: they wait for space until the
   * kernel's timeout, a minute by default. `error_if_no_space`: they fail immediately; reported also after that
   * timeout.
   */
  readonly whenFull: 'queue_if_no_space' | 'error_if_no_space'
}

/** The status of a working pool. */
export interface WorkingPoolStatus extends PoolStatusBase {
  /** The mode: `rw`; `ro`, read-only as requested, out of metadata space, or after an error; `out_of_data_space`. */
  readonly mode: Exclude<PoolMode, 'fail' | 'error'>
  /** Space of the data device, in blocks of `dataBlockBytes`. */
  readonly data: SpaceStatus
  /** Space of the metadata device in 4 KiB blocks. `usedBlocks` includes the commit reserve of up to 4096 blocks. */
  readonly metadata: SpaceStatus & {
    /** Free metadata blocks at which the kernel raises an event. The kernel chooses it: min(1024, a quarter). */
    readonly lowWaterMarkBlocks: number | undefined
  }
  /** A counter for the owner's own bookkeeping: see `setTransactionId()`. */
  readonly transactionId: bigint
  /** Block of the metadata snapshot, or null if none is held: see `reserveMetadataSnapshot()`. */
  readonly heldMetadataRoot: number | null
  /**
   * Snapshots in the life of the pool, read from its metadata as of the last commit. Undefined if the metadata device
   * cannot be read.
   */
  readonly snapshots: SnapshotsStatus | undefined
}

/** The status of a failed pool. The kernel reports no numbers for it, so there are none here. */
export interface FailedPoolStatus<Mode extends 'fail' | 'error' = 'fail' | 'error'> extends PoolStatusBase {
  /** `fail`: the kernel could not even roll back; `error`: it could not read the status. */
  readonly mode: Mode
  /** Undefined: the kernel reports no space of a failed pool. */
  readonly data: undefined
  /** Undefined: the kernel reports no metadata space of a failed pool. */
  readonly metadata: undefined
  /** Undefined: the kernel reports no transaction id of a failed pool. */
  readonly transactionId: undefined
  /** Undefined: the kernel reports no metadata snapshot of a failed pool. */
  readonly heldMetadataRoot: undefined
  /** Undefined: the metadata of a failed pool is not read. */
  readonly snapshots: undefined
}

/**
 * The status of a pool. If `mode` is `fail` or `error`, it has no numbers: use `status.data?.usedBytes`, or check
 * `mode` first.
 */
export type PoolStatus = WorkingPoolStatus | FailedPoolStatus<'fail'> | FailedPoolStatus<'error'>

const space = (usedBlocks: number, totalBlocks: number, blockBytes: number): SpaceStatus => ({
  usedBlocks,
  totalBlocks,
  blockBytes,
  usedBytes: usedBlocks * blockBytes,
  totalBytes: totalBlocks * blockBytes,
})

/** Reads the status from the kernel, without a commit, and the superblock from disk. */
export async function readPoolStatus(context: PoolContext, signal?: AbortSignal): Promise<PoolStatus> {
  const { port, address, metadataPath, metadataDevice } = context
  const lines = await port.poolStatus(address, metadataPath, signal)
  const table = tableOfPool(context.name, lines.table)
  const same = table.metadataDevice === metadataDevice
  const time = same ? await snapshotTimeIn(lines.superblock, port, metadataPath, signal) : undefined
  return poolStatus(lines.status[0]?.parameters ?? '', table, time)
}

export interface PoolSpace {
  readonly data: SpaceStatus
  readonly metadata: SpaceStatus
}

export async function readPoolSpace(context: PoolContext, signal?: AbortSignal): Promise<PoolSpace | undefined> {
  const line = await poolStatusLine(context, signal)
  if (!('transactionId' in line)) return undefined
  return {
    data: space(line.usedDataBlocks, line.totalDataBlocks, context.dataBlockBytes),
    metadata: space(line.usedMetadataBlocks, line.totalMetadataBlocks, METADATA_BLOCK_BYTES),
  }
}

/** Parses a status line. `time`: the snapshot clock, if it is known. Pure. */
export function poolStatus(parameters: string, table: PoolTable, time?: number): PoolStatus {
  const line = parsePoolStatus(parameters)
  const blockBytes = sectorsToBytes(table.blockSectors)
  const lowWaterMark = { blocks: table.lowWaterBlocks, bytes: table.lowWaterBlocks * blockBytes }
  if (!('transactionId' in line)) {
    return {
      mode: line.mode,
      data: undefined,
      metadata: undefined,
      transactionId: undefined,
      lowWaterMark,
      needsCheck: true,
      heldMetadataRoot: undefined,
      snapshots: undefined,
      discard: table.ignoreDiscard
        ? 'ignore_discard'
        : table.noDiscardPassdown
          ? 'no_discard_passdown'
          : 'discard_passdown',
      whenFull: table.errorIfNoSpace ? 'error_if_no_space' : 'queue_if_no_space',
    }
  }
  return {
    mode: line.mode,
    data: space(line.usedDataBlocks, line.totalDataBlocks, blockBytes),
    metadata: {
      ...space(line.usedMetadataBlocks, line.totalMetadataBlocks, METADATA_BLOCK_BYTES),
      lowWaterMarkBlocks: line.metadataLowWaterBlocks,
    },
    transactionId: line.transactionId,
    lowWaterMark,
    needsCheck: line.needsCheck,
    heldMetadataRoot: line.heldMetadataRoot,
    snapshots: time === undefined ? undefined : snapshotsStatus(time),
    discard: line.discard,
    whenFull: line.whenFull,
  }
}

/** The space of one volume, counted in the pool's metadata. */
export interface VolumeUsage {
  /** The thin id of the volume. */
  readonly id: number
  /** The number of data blocks that the volume maps: exclusive and shared ones. */
  readonly mappedBlocks: number
  /** Blocks that only this volume maps: deleting it frees them. */
  readonly exclusiveBlocks: number
  /** Blocks that another volume maps too. */
  readonly sharedBlocks: number
}

/** The status of an active volume. */
export interface WorkingVolumeStatus {
  /** Always `active`: the kernel reports the blocks of the volume. */
  readonly state: 'active'
  /** The size of the volume's device in bytes. */
  readonly sizeBytes: number
  /** The size of the blocks that the volume maps, exclusive and shared, in bytes. */
  readonly mappedBytes: number
  /** The last mapped byte, or null if no block is mapped. */
  readonly highestMappedByte: number | null
}

/** The status of an active volume for which the kernel reports no blocks. */
export interface UnknownVolumeStatus {
  /** `fail`: the pool has failed; `error`: the kernel could not read the volume's status. */
  readonly state: 'fail' | 'error'
  /** The size of the volume's device in bytes, which is known from its table. */
  readonly sizeBytes: number
  /** Undefined: the kernel does not report the mapped blocks. */
  readonly mappedBytes: undefined
  /** Undefined: the kernel does not report the last mapped byte. */
  readonly highestMappedByte: undefined
}

/** The status of an active volume. If `state` is `fail` or `error`, its blocks are unknown. */
export type VolumeStatus = WorkingVolumeStatus | UnknownVolumeStatus

export function volumeStatus(parameters: string, lengthSectors: number): VolumeStatus {
  const line = parseThinStatus(parameters)
  const sizeBytes = sectorsToBytes(lengthSectors)
  if (line.state === 'active') return { ...line, sizeBytes }
  return { state: line.state, sizeBytes, mappedBytes: undefined, highestMappedByte: undefined }
}
