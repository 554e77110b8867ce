// Options of ThinPool.check and ThinPool.repair.
import { BUSY_RETRY_MS } from '../../kernel/port/device-port.js'
import { checkBoolean, checkNumber, checkOptions, checkPath, type SignalOption } from '../../base/options.js'
import type { KernelOption } from '../../kernel/kernel-option.js'
import { requireNative, type CheckDepth } from '../check/examine-metadata.js'
import {
  checkOpenOptions,
  checkRecord,
  OPTIONS_OF_POOLS,
  type DeviceSource,
  type PoolOptions,
  type PoolPlan,
} from '../lifecycle/pool-options.js'
import type { PoolContext } from '../state/context.js'
import { checkTransactionId } from '../state/transaction-id.js'

/** Options of `ThinPool.check`. */
export interface CheckPoolOptions extends KernelOption, SignalOption {
  /** Name of the mapped device of the pool. */
  readonly name: string
  /** Device of the data blocks. Required if the pool does not run. */
  readonly data?: DeviceSource
  /** Device of the metadata. Required if the pool does not run. */
  readonly metadata?: DeviceSource
  /** Path of the record beside the pool. The metadata of a pool at rest is compared with it. Default: none. */
  readonly record?: string
  /**
   * The transaction id that the metadata of a pool at rest must have reached. If it has a lower one, the state is
   * `mismatch`. Default: none.
   */
  readonly transactionId?: bigint
  /**
   * `'full'` (default) runs `thin_check`, a child process that reads all of the metadata. `'quick'` reads the superblock
   * and the list of volumes; of a running pool, its status.
   */
  readonly depth?: CheckDepth
}

/** Options of `repair` of a pool object. */
export interface RepairOptions extends SignalOption {
  /**
   * Deactivates active volumes of a running pool first. Without it, active volumes reject the call with
   * `DM_POOL_IN_USE`. Default false.
   */
  readonly deactivate?: boolean
  /** Time for which each busy device is retried, in milliseconds. Default 10 000. */
  readonly timeoutMs?: number
  /**
   * Path of the block device for the repaired metadata, which must be blank. Required if the metadata is on a block
   * device and must be rebuilt; rejected for metadata in a file, which gets a new file.
   */
  readonly to?: string
  /**
   * The transaction id of the repaired metadata if the superblock cannot be read. Default: one more than the highest
   * that a volume has, as `thin_repair` chooses.
   */
  readonly transactionId?: bigint
}

/**
 * Options of `ThinPool.repair`. `data` and `metadata` are required if the pool does not run. If its superblock cannot be
 * read, `dataBlockBytes` is required, unless `record` has it. The other options of a pool are for its start.
 */
export interface RepairPoolOptions extends Partial<PoolOptions>, RepairOptions {
  /** Name of the mapped device of the pool. */
  readonly name: string
}

const REPAIR_OPTIONS = ['deactivate', 'timeoutMs', 'to', 'transactionId'] as const

/** The options of a repair with all defaults applied. */
export interface RepairPlan {
  readonly name: string
  /** Undefined for the name alone of a running pool. */
  readonly plan: PoolPlan | undefined
  readonly record: string | undefined
  readonly deactivate: boolean
  readonly limitMs: number
  readonly to: string | undefined
  readonly transactionId: bigint | undefined
}

export function checkRepairOptions(options: RepairPoolOptions): RepairPlan {
  checkOptions(options, [...OPTIONS_OF_POOLS, ...REPAIR_OPTIONS], 'ThinPool.repair')
  const { deactivate, timeoutMs, to, transactionId, ...open } = options
  return {
    name: open.name,
    plan: checkOpenOptions(open),
    record: checkRecord(open.record),
    deactivate: checkBoolean('deactivate', deactivate),
    limitMs: checkNumber('timeoutMs', timeoutMs ?? BUSY_RETRY_MS, { min: 0 }),
    to: to === undefined ? undefined : checkPath('to', to),
    transactionId: transactionId === undefined ? undefined : checkTransactionId('transactionId', transactionId),
  }
}

/** Returns the options that repair a running pool and open it again like the present object. */
export function ofRunning(
  { name, port, record, mapperLinks, durability, reserve }: PoolContext,
  options: RepairOptions,
): RepairPoolOptions {
  checkOptions(options, [...REPAIR_OPTIONS, 'signal'], 'repair')
  const handle = { mapperLinks, durability, reserve: reserve.wanted, ...(record && { record: record.file }) }
  requireNative(port)
  const wanted = { ...options, name, ...handle }
  checkRepairOptions(wanted)
  return wanted
}
