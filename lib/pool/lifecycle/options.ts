// What callers may ask of a pool, and the checks before the kernel is asked.
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
import { checkHook, type MetadataCheck } from './check.js'
import { checkDurability, type Durability } from '../state/durability.js'
import type { RecordedOptions } from '../state/record.js'

/** A file (made sparse where it does not exist, and attached to a loop device) or a block device. */
export type DeviceSource =
  | {
      /** Path of the file; a relative one is taken from the working directory. */
      readonly file: string
      /** Size in bytes, whole sectors. Needed where the file does not exist; an existing one must have this size. */
      readonly sizeBytes?: number
    }
  | {
      /** Path of a block device. */
      readonly device: string
      readonly file?: never
      readonly sizeBytes?: never
    }

/** Options that `ThinPool.create` and `ThinPool.open` share. */
export interface PoolOptions extends KernelOption, SignalOption {
  /** Name of the mapped device, 1 to 127 bytes of `0-9A-Za-z#+-.:=@_`. */
  readonly name: string
  /** Where the volumes' blocks go. */
  readonly data: DeviceSource
  /** Where the mappings go; 2 MiB to 15.875 GiB. About 48 bytes per data block and snapshot generation. */
  readonly metadata: DeviceSource
  /**
   * Data block size in bytes: 64 KiB to 1 GiB in steps of 64 KiB. What a write to a shared block copies, and what a
   * volume grows by. Fixed for the life of the pool. Default for create 64 KiB; for open what the metadata says.
   */
  readonly dataBlockBytes?: number
  /** Raise the low-water event when this many data blocks are free. Default 0: never. */
  readonly lowWaterMarkBlocks?: number
  /**
   * Do not zero new blocks before their first partial write. Faster, but what such a block held before, of any
   * volume, can be read in its other parts. Default false.
   */
  readonly skipBlockZeroing?: boolean
  /** Discards of volumes do not free blocks. Cannot change while the pool is active. Default false. */
  readonly ignoreDiscard?: boolean
  /** Discards free blocks of the pool but are not passed to the data device (the file keeps its size). Default false. */
  readonly noDiscardPassdown?: boolean
  /** No write, no message. Default false. */
  readonly readOnly?: boolean
  /** Writes fail at once when the pool is full, instead of waiting up to a minute for it to grow. Default false. */
  readonly errorIfNoSpace?: boolean
  /**
   * Where no udev makes them: links `/dev/mapper/NAME` for the pool and for what is activated through this object, until
   * they are taken away. Default false.
   */
  readonly mapperLinks?: boolean
  /**
   * When changes through this object resolve: creating, snapshotting and deleting volumes. `'committed'` (default): when
   * the metadata on disk has the change; `DM_NOT_COMMITTED` where the pool could not commit it. `'lazy'`: when the
   * kernel has taken it. The kernel commits each change either way and does not tell whether it could; `'lazy'` leaves
   * out the look at the pool's status, for those who make many changes and prove them all by one `commit()` or
   * `setTransactionId()`.
   */
  readonly durability?: Durability
  /**
   * Path of a file beside the pool that keeps what the kernel does not: the pool's length and options, and of each volume
   * its name, size and origin. Made where it does not exist. Each change is on disk before the call that made it
   * resolves. A pool that is brought back runs with the options recorded, unless they are given. Several processes may
   * use it at once. Default: no record.
   */
  readonly record?: string
}

/** Options of `ThinPool.create`. */
export interface CreatePoolOptions extends PoolOptions {
  /**
   * `'blank'` (default): the metadata device must be all zeros at its start, and neither device may hold a file system, a
   * partition table, or a member of an array or of another volume manager (`DM_SIGNATURE_FOUND`). `'overwrite'`: what is
   * on both is lost, and with it every volume of the pool that it may have been. The signatures on
   * both devices are erased.
   */
  readonly format?: 'blank' | 'overwrite'
}

/** Options of `ThinPool.open`. */
export interface OpenPoolOptions extends Partial<PoolOptions> {
  /** Name of the mapped device of the pool. */
  readonly name: string
  /** Repairs what a crashed process left of this library's devices (see `pool.findings`). Default true. */
  readonly repair?: boolean
  /**
   * Called before a pool is brought back from its files or devices, with the device that its metadata is on: to run
   * `thin_check`, for example. What it throws ends the call with `DM_CHECK_FAILED`, and the pool is not started. It runs
   * while the call holds the locks of the pool's name, data and metadata: a call of this process inside of it that needs
   * one of them, such as `ThinPool.open` of the same pool, rejects with `DM_BUSY`; one of another process, which the
   * function starts and waits for, would wait for ever. Not called where the pool runs already. Default: nothing is checked; a pool whose metadata needs a check starts
   * read-only, and `findings` says so.
   */
  readonly check?: MetadataCheck
}

/** Options with every default in place. */
export interface PoolPlan {
  readonly name: string
  readonly data: DeviceSource
  readonly metadata: DeviceSource
  readonly dataBlockBytes: number | undefined
  readonly lowWaterMarkBlocks: number
  readonly skipBlockZeroing: boolean
  readonly ignoreDiscard: boolean
  readonly noDiscardPassdown: boolean
  readonly readOnly: boolean
  readonly errorIfNoSpace: boolean
  readonly mapperLinks: boolean
  readonly durability: Durability
  readonly record: string | undefined
  readonly check: MetadataCheck | undefined
  /** The options that the caller named: only these are compared with a running pool. */
  readonly given: ReadonlySet<string>
}

const POOL_OPTIONS = [
  'name',
  'data',
  'metadata',
  'dataBlockBytes',
  'lowWaterMarkBlocks',
  'skipBlockZeroing',
  'ignoreDiscard',
  'noDiscardPassdown',
  'readOnly',
  'errorIfNoSpace',
  'signal',
]

/** Of the object, not of the pool. */
const HANDLE_OPTIONS = ['mapperLinks', 'durability', 'record', 'kernel']

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

/** The plan, where data and metadata are named; a bare name adopts what runs. */
export function checkOpenOptions(options: OpenPoolOptions): PoolPlan | undefined {
  checkOptions(options, [...POOL_OPTIONS, 'repair', 'check', ...HANDLE_OPTIONS], 'ThinPool.open')
  checkName(options.name)
  const check = checkHook(options.check)
  if (options.data === undefined && options.metadata === undefined) {
    const extra = POOL_OPTIONS.slice(3, -1).find(name => name in options)
    if (extra) throw invalid(`ThinPool.open: ${extra} is compared only together with data and metadata`)
    if (check) throw invalid('ThinPool.open: check is called only together with data and metadata')
    return undefined
  }
  return { ...checkPlan(options as PoolOptions), check }
}

function checkPlan(options: PoolOptions): PoolPlan {
  const blockRange = { min: MIN_DATA_BLOCK_BYTES, max: MAX_DATA_BLOCK_BYTES, multipleOf: MIN_DATA_BLOCK_BYTES }
  return {
    name: checkName(options.name),
    data: checkSource('data', options.data, SECTOR_BYTES, Number.MAX_SAFE_INTEGER),
    metadata: checkSource('metadata', options.metadata, MIN_METADATA_BYTES, MAX_METADATA_BYTES),
    dataBlockBytes:
      options.dataBlockBytes === undefined
        ? undefined
        : checkNumber('dataBlockBytes', options.dataBlockBytes, blockRange),
    lowWaterMarkBlocks: checkNumber('lowWaterMarkBlocks', options.lowWaterMarkBlocks ?? 0, { min: 0 }),
    skipBlockZeroing: checkBoolean('skipBlockZeroing', options.skipBlockZeroing),
    ignoreDiscard: checkBoolean('ignoreDiscard', options.ignoreDiscard),
    noDiscardPassdown: checkBoolean('noDiscardPassdown', options.noDiscardPassdown),
    readOnly: checkBoolean('readOnly', options.readOnly),
    errorIfNoSpace: checkBoolean('errorIfNoSpace', options.errorIfNoSpace),
    mapperLinks: checkBoolean('mapperLinks', options.mapperLinks),
    durability: checkDurability(options.durability),
    record: checkRecord(options.record),
    check: undefined,
    given: new Set(Object.entries(options).flatMap(([name, value]) => (value === undefined ? [] : [name]))),
  }
}

export function checkRecord(record: unknown): string | undefined {
  return record === undefined ? undefined : path.resolve(checkPath('record', record))
}

/** With the options of a record in the place of those that the caller left out. */
export function withRecorded(plan: PoolPlan, recorded: RecordedOptions): PoolPlan {
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
