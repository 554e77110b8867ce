// Pool options and their validation.
import path from 'node:path'
import type { KernelOption } from '../../kernel/kernel-option.js'
import {
  checkBoolean,
  checkName,
  checkOptions,
  checkPath,
  type SignalOption,
  checkNumber,
  invalid,
  shown,
} from '../../base/options.js'
import {
  KiB,
  MAX_DATA_BLOCK_BYTES,
  MAX_METADATA_BYTES,
  MiB,
  MIN_DATA_BLOCK_BYTES,
  SECTOR_BYTES,
} from '../../base/units.js'
import type { CheckDepth } from '../check/examine-metadata.js'
import { checkHook, type MetadataCheck } from '../check/check-before-start.js'
import { checkDurability, type Durability } from '../state/durability.js'
import { checkReserve, type ReserveOptions } from '../state/space-reserve.js'
import { TABLE_OPTIONS, tableOptions, type TableOptions } from '../state/table-options.js'
import { DEFAULT_LOW_WATER_BLOCKS } from '../../target/thin-pool.js'

/** A file, which is attached to a loop device and created sparse if it is missing, or a block device. */
export type DeviceSource =
  | {
      /** Path of the file. A relative path starts at the working directory. */
      readonly file: string
      /**
       * Size in bytes, whole sectors. An existing file must have this size. Default: the size of the file; for metadata that
       * does not exist, `create` uses 256 MiB. Required for data that does not exist.
       */
      readonly sizeBytes?: number
    }
  | {
      /** Path of a block device. */
      readonly device: string
      /** Absent, because a source is either a file or a block device. */
      readonly file?: never
      /** Absent, because a block device has its own size. */
      readonly sizeBytes?: never
    }

/** Options that `ThinPool.create` and `ThinPool.open` share. */
export interface PoolOptions extends KernelOption, SignalOption {
  /** Name of the mapped device, 1 to 127 bytes of `0-9A-Za-z#+-.:=@_`. */
  readonly name: string
  /** Device of the volumes' data blocks. */
  readonly data: DeviceSource
  /** Device of the mappings, 2 MiB to 15.875 GiB. It needs about 48 bytes per data block and snapshot generation. */
  readonly metadata: DeviceSource
  /**
   * Data block size in bytes: 64 KiB to 1 GiB in steps of 64 KiB. A write to a shared block copies this much, and a
   * volume grows in units of it. Fixed for the life of the pool. Default for `create`: 64 KiB; for `open`: the value in
   * the metadata.
   */
  readonly dataBlockBytes?: number
  /** Number of free data blocks at which the kernel raises the low-water event. Default 0: when no block is free. */
  readonly lowWaterMarkBlocks?: number
  /**
   * Does not zero new blocks before their first partial write. This is faster, but the rest of such a block exposes its
   * previous contents, which may be of any volume. Default false.
   */
  readonly skipBlockZeroing?: boolean
  /** Keeps blocks that a volume discards. Cannot change while the pool is running. Default false. */
  readonly ignoreDiscard?: boolean
  /**
   * Frees discarded blocks in the pool without passing the discard to the data device: the file keeps its size. Default
   * false.
   */
  readonly noDiscardPassdown?: boolean
  /** Makes the pool read-only: it accepts neither writes nor messages. Default false. */
  readonly readOnly?: boolean
  /**
   * Makes writes fail immediately if the pool is full, instead of waiting up to a minute for it to grow. Default false.
   */
  readonly errorIfNoSpace?: boolean
  /**
   * Creates links `/dev/mapper/NAME` if udev does not: for the pool and for volumes that are activated through this
   * object, until they are removed. Default false.
   */
  readonly mapperLinks?: boolean
  /**
   * Determines when creating, snapshotting and deleting volumes through this object resolves. `'committed'` (default):
   * when the change is in the metadata on disk; rejects with `DM_NOT_COMMITTED` if the pool could not commit it.
   * `'lazy'`: when the kernel has accepted the change. The kernel commits each change in both cases and does not report
   * whether the commit succeeded; `'lazy'` omits the check of the pool's status. It is for callers who make many
   * changes and verify all of them with one `commit()` or `setTransactionId()`.
   */
  readonly durability?: Durability
  /**
   * Path of a file beside the pool that keeps what the kernel does not: the pool's length and options, and the name,
   * size and origin of each volume. It is created if missing. Each change is on disk before the call that made it
   * resolves. A pool that is started runs with the recorded options, unless other values are given. Several processes
   * may use the file concurrently. Default: no record.
   */
  readonly record?: string
  /**
   * Free space below which `createVolume`, `snapshot` and `snapshotMany` of this object reject with `DM_POOL_RESERVE`.
   * Deleting always works. Default: none.
   */
  readonly reserve?: ReserveOptions
}

/** Options of `ThinPool.create`. */
export interface CreatePoolOptions extends PoolOptions {
  /**
   * `'blank'` (default): the start of the metadata device must be all zeros, and neither device may hold a file system,
   * a partition table, or a member of an array or of another volume manager (`DM_SIGNATURE_FOUND`). `'overwrite'`: the
   * contents of both devices are lost, with every volume of a pool on them. The signatures on both devices are erased.
   */
  readonly format?: 'blank' | 'overwrite'
}

/** Options of `ThinPool.open`. */
export interface OpenPoolOptions extends Partial<PoolOptions> {
  /** Name of the mapped device of the pool. */
  readonly name: string
  /**
   * Activates volumes that are not active, with their recorded names and sizes: all in the record, or those in a list of
   * thin ids. Requires `record`. A volume that cannot be activated is a finding, and does not fail the call. If the call
   * is aborted, the pool and the volumes that are active stay. Default: none.
   */
  readonly activate?: 'recorded' | readonly number[]
  /** Repairs what a crashed process left of this library's devices (see `pool.findings`). Default true. */
  readonly repair?: boolean
  /**
   * The check of the metadata before a pool is started. If it finds more than leaked blocks, the call rejects with
   * `DM_CHECK_FAILED`, whose `detail` is the state, and the pool is not started. `'quick'` reads the superblock and the
   * list of volumes, and compares them with the devices and the record. `'full'` runs `thin_check` too, a child process
   * that reads all of the metadata. `false`: no check.
   *
   * A function is called with the device of the metadata, and fails the check if it throws. The call holds the locks of
   * the pool's name, data and metadata while the function runs. A call of this process inside the function that needs
   * one of them, such as `ThinPool.open` of the same pool, rejects with `DM_BUSY`; such a call of another process, which
   * the function starts and waits for, would wait forever.
   *
   * There is no check if the pool is running already. Default `false`: a pool whose metadata needs a check starts
   * read-only, and `findings` reports it.
   */
  readonly check?: CheckDepth | false | MetadataCheck
}

/** Options with all defaults applied. */
export interface PoolPlan extends TableOptions {
  readonly name: string
  readonly data: DeviceSource
  readonly metadata: DeviceSource
  readonly dataBlockBytes: number | undefined
  readonly mapperLinks: boolean
  readonly durability: Durability
  readonly record: string | undefined
  readonly reserve: Required<ReserveOptions>
  readonly check: MetadataCheck | CheckDepth | undefined
  /** The options that the caller passed: only these are compared with a running pool. */
  readonly given: ReadonlySet<string>
}

const POOL_OPTIONS = ['name', 'data', 'metadata', 'dataBlockBytes', ...TABLE_OPTIONS, 'signal']

/** Options of the object, not of the pool. */
const HANDLE_OPTIONS = ['mapperLinks', 'durability', 'record', 'reserve', 'kernel']

/** Names of the options that each call which may start a pool has. */
export const OPTIONS_OF_POOLS = [...POOL_OPTIONS, ...HANDLE_OPTIONS]

export const MIN_METADATA_BYTES = 2 * MiB
const DEFAULT_DATA_BLOCK_BYTES = 64 * KiB

export function checkCreateOptions(options: CreatePoolOptions): PoolPlan {
  checkOptions(options, [...POOL_OPTIONS, 'format', ...HANDLE_OPTIONS], 'ThinPool.create')
  if (options.format !== undefined && options.format !== 'blank' && options.format !== 'overwrite') {
    throw invalid(`format must be 'blank' or 'overwrite', but is ${shown(options.format)}`)
  }
  const plan = checkPlan(options)
  return { ...plan, dataBlockBytes: plan.dataBlockBytes ?? DEFAULT_DATA_BLOCK_BYTES }
}

/** Returns the plan if data and metadata are given; undefined for a name alone, which attaches to a running pool. */
export function checkOpenOptions(options: OpenPoolOptions): PoolPlan | undefined {
  checkOptions(options, [...POOL_OPTIONS, 'activate', 'repair', 'check', ...HANDLE_OPTIONS], 'ThinPool.open')
  checkName(options.name)
  const check = checkHook(options.check)
  if (options.data === undefined && options.metadata === undefined) {
    const extra = POOL_OPTIONS.slice(3, -1).find(name => name in options)
    if (extra) throw invalid(`ThinPool.open: ${extra} requires data and metadata`)
    if (check) throw invalid('ThinPool.open: check requires data and metadata')
    return undefined
  }
  return { ...checkPlan(options as PoolOptions), check }
}

function checkPlan(options: PoolOptions): PoolPlan {
  const lowWaterMarkBlocks = options.lowWaterMarkBlocks ?? DEFAULT_LOW_WATER_BLOCKS
  const blockRange = { min: MIN_DATA_BLOCK_BYTES, max: MAX_DATA_BLOCK_BYTES, multipleOf: MIN_DATA_BLOCK_BYTES }
  return {
    name: checkName(options.name),
    data: checkSource('data', options.data, SECTOR_BYTES, Number.MAX_SAFE_INTEGER),
    metadata: checkSource('metadata', options.metadata, MIN_METADATA_BYTES, MAX_METADATA_BYTES),
    dataBlockBytes:
      options.dataBlockBytes === undefined
        ? undefined
        : checkNumber('dataBlockBytes', options.dataBlockBytes, blockRange),
    ...tableOptions(checkNumber('lowWaterMarkBlocks', lowWaterMarkBlocks, { min: 0 }), name =>
      checkBoolean(name, options[name]),
    ),
    mapperLinks: checkBoolean('mapperLinks', options.mapperLinks),
    durability: checkDurability(options.durability),
    record: checkRecord(options.record),
    reserve: checkReserve(options.reserve),
    check: undefined,
    given: new Set(Object.entries(options).flatMap(([name, value]) => (value === undefined ? [] : [name]))),
  }
}

export function checkRecord(record: unknown): string | undefined {
  return record === undefined ? undefined : path.resolve(checkPath('record', record))
}

/** Returns the plan with recorded options in place of those that the caller omitted. */
export function withRecorded(plan: PoolPlan, recorded: TableOptions): PoolPlan {
  const left = Object.entries(recorded).filter(([name]) => !plan.given.has(name))
  return { ...plan, ...Object.fromEntries(left) }
}

function checkSource(role: string, source: unknown, min: number, max: number): DeviceSource {
  if (typeof source !== 'object' || source === null) {
    throw invalid(`${role} must be { file, sizeBytes } or { device }, but is ${shown(source)}`)
  }
  if ('device' in source) {
    checkOptions(source, ['device'], role)
    return { device: checkPath(`${role}.device`, source.device) }
  }
  checkOptions(source, ['file', 'sizeBytes'], role)
  const { file, sizeBytes } = source as { file?: unknown; sizeBytes?: unknown }
  const where = checkPath(`${role}.file`, file)
  if (sizeBytes === undefined) return { file: where }
  return { file: where, sizeBytes: checkNumber(`${role}.sizeBytes`, sizeBytes, { min, max, multipleOf: SECTOR_BYTES }) }
}
