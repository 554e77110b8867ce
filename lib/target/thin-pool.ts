// The thin-pool target: its table line and its status line. Pure; source of both: drivers/md/dm-thin.c
// (pool_ctr, pool_status) and Documentation/admin-guide/device-mapper/thin-provisioning.rst.
import type { TargetLine } from '../kernel/port/device-port.js'
import type { Sectors } from '../base/units.js'
import { defineTarget, type Sized } from './define.js'
import { fraction, LineReader } from './line.js'
import { flag, OptionList } from './option-list.js'
import { deviceWord, numberWord } from './words.js'

/** Features of the thin-pool target. */
export interface ThinPoolFeatures {
  /** Does not zero new blocks first: their previous contents can be read. Default false. */
  readonly skipBlockZeroing?: boolean
  /** Keeps blocks that a volume discards. Default false. */
  readonly ignoreDiscard?: boolean
  /** Frees discarded blocks without passing the discard to the data device. Default false. */
  readonly noDiscardPassdown?: boolean
  /** Makes the pool read-only: it accepts neither writes nor messages. Default false. */
  readonly readOnly?: boolean
  /** Makes writes fail immediately if the pool is full, instead of waiting for space. Default false. */
  readonly errorIfNoSpace?: boolean
}

/**
 * The table of a thin pool, without the checks of the pool API. A metadata device that begins with 4 KiB of zeros is
 * formatted when the table is loaded.
 */
export interface ThinPoolTable extends Sized, ThinPoolFeatures {
  /** The metadata device: `7:1`, or a path. */
  readonly metadataDevice: string
  /** The device of the data blocks: `7:0`, or a path. */
  readonly dataDevice: string
  /** Data block size in sectors: 128 (64 KiB) to 2097152 (1 GiB), in steps of 128. */
  readonly blockSectors: number
  /** Free data blocks at which the kernel raises its low-water event. Default 0. */
  readonly lowWaterBlocks?: number
}

/** The low-water mark without the option: the kernel raises its event when no data block is free. */
export const DEFAULT_LOW_WATER_BLOCKS = 0

const OPTIONS = new OptionList<ThinPoolFeatures>({
  skipBlockZeroing: flag('skip_block_zeroing'),
  ignoreDiscard: flag('ignore_discard'),
  noDiscardPassdown: flag('no_discard_passdown'),
  readOnly: flag('read_only'),
  errorIfNoSpace: flag('error_if_no_space'),
})

interface PoolWords {
  readonly metadataDevice: string
  readonly dataDevice: string
  readonly blockSectors: number
  readonly lowWaterBlocks: number
}

const wordsOf = (reader: LineReader): PoolWords => ({
  metadataDevice: reader.word('metadata device'),
  dataDevice: reader.word('data device'),
  blockSectors: reader.number('data block size'),
  lowWaterBlocks: reader.number('low-water mark'),
})

/** Makes a thin pool, without the checks of the pool API (dm-thin-pool). */
export const thinPool = defineTarget<ThinPoolTable, PoolStatusLine | FailedPoolStatusLine>({
  type: 'thin-pool',
  options: ['metadataDevice', 'dataDevice', 'blockSectors', 'lowWaterBlocks', ...OPTIONS.names],
  format: table => [
    deviceWord('metadataDevice', table.metadataDevice),
    deviceWord('dataDevice', table.dataDevice),
    numberWord('blockSectors', table.blockSectors, { min: 128, max: 2097152, multipleOf: 128 }),
    numberWord('lowWaterBlocks', table.lowWaterBlocks ?? DEFAULT_LOW_WATER_BLOCKS),
    ...OPTIONS.counted(table),
  ],
  parseTable: reader => ({ ...wordsOf(reader), ...OPTIONS.readCounted(reader) }),
  parseStatus: (_, line) => parsePoolStatus(line.parameters),
})

/** The table of a pool with all optional fields. */
export interface PoolTable extends Required<ThinPoolTable> {
  readonly lengthSectors: Sectors
  /** `7:1`, in the kernel's notation of devices. */
  readonly metadataDevice: string
  readonly blockSectors: Sectors
}

export const poolTableLine = (table: PoolTable): TargetLine => ({ startSectors: 0, ...thinPool(table) })

const NO_FEATURES = {
  skipBlockZeroing: false,
  ignoreDiscard: false,
  noDiscardPassdown: false,
  readOnly: false,
  errorIfNoSpace: false,
}

/** Parses a pool's table line. Ignores features of newer kernels: a pool with one is treated as one without. */
export function parsePoolTable(line: TargetLine): PoolTable {
  const reader = new LineReader('thin-pool table', line.parameters)
  const words = wordsOf(reader)
  const [lengthSectors, blockSectors] = [line.lengthSectors as Sectors, words.blockSectors as Sectors]
  return { ...words, lengthSectors, blockSectors, ...NO_FEATURES, ...OPTIONS.readKnown(reader) }
}

/**
 * The mode of a pool. `rw`: reads and writes. `ro`: read-only, as requested, out of metadata space, or after an error.
 * `out_of_data_space`: no data block is free, and writes to new blocks wait or fail. `fail`: the kernel could not even
 * roll back. `error`: it could not read its own status.
 */
export type PoolMode = 'rw' | 'ro' | 'out_of_data_space' | 'fail' | 'error'

/** Status of the thin-pool target for a failed pool. The kernel reports one word. */
export interface FailedPoolStatusLine {
  /** `fail`: the kernel could not even roll back. `error`: it could not read its own status. */
  readonly mode: 'fail' | 'error'
}

/** Status of the thin-pool target for a working pool. */
export interface PoolStatusLine {
  /** The mode of the pool: `rw`, `ro` or `out_of_data_space`. */
  readonly mode: Exclude<PoolMode, 'fail' | 'error'>
  /** The counter for the owner of the pool, which the message `set_transaction_id` sets. */
  readonly transactionId: bigint
  /** The number of used blocks of the metadata device, 4096 bytes each. */
  readonly usedMetadataBlocks: number
  /** The number of blocks of the metadata device, 4096 bytes each. */
  readonly totalMetadataBlocks: number
  /** The number of allocated blocks of the data device. */
  readonly usedDataBlocks: number
  /** The number of blocks of the data device. */
  readonly totalDataBlocks: number
  /** Metadata block of the metadata snapshot, or null if none is held. */
  readonly heldMetadataRoot: number | null
  /**
   * The handling of discards of volumes. `discard_passdown`: blocks are freed, and the data device receives the
   * discard. `no_discard_passdown`: blocks are freed only. `ignore_discard`: blocks stay allocated.
   */
  readonly discard: 'discard_passdown' | 'no_discard_passdown' | 'ignore_discard'
  /**
   * The handling of writes if no data block is free. `queue_if_no_space`: they wait for space. `error_if_no_space`:
   * they fail, also after the kernel's timeout for waiting.
   */
  readonly whenFull: 'queue_if_no_space' | 'error_if_no_space'
  /** True if the metadata must be checked (thin_check) before it is written again. */
  readonly needsCheck: boolean
  /** Free metadata blocks at which the kernel raises an event; chosen by the kernel. Absent before about 4.19. */
  readonly metadataLowWaterBlocks: number | undefined
}

/** Parses the INFO status line. Ignores new fields at the end. The error for an unknown word contains its position. */
export function parsePoolStatus(parameters: string): PoolStatusLine | FailedPoolStatusLine {
  const text = parameters.trim()
  if (text === 'Fail') return { mode: 'fail' }
  if (text === 'Error') return { mode: 'error' }
  const reader = new LineReader('thin-pool status', parameters)
  const transactionId = reader.bigint('transaction id')
  const [usedMetadataBlocks, totalMetadataBlocks] = fraction(reader, 'metadata blocks')
  const [usedDataBlocks, totalDataBlocks] = fraction(reader, 'data blocks')
  const held = reader.word('held metadata root')
  const heldMetadataRoot = held === '-' ? null : reader.asNumber('held metadata root', held)
  const mode = reader.oneOf('mode', ['rw', 'ro', 'out_of_data_space'])
  const discard = reader.oneOf('discard', ['discard_passdown', 'no_discard_passdown', 'ignore_discard'])
  // The last three were added one by one (1.10, 1.16, 1.20 of the target): the line of an older kernel ends earlier.
  const whenFull = reader.optionalOneOf('when full', ['queue_if_no_space', 'error_if_no_space'])
  const needsCheck = reader.optionalOneOf('needs check', ['needs_check', '-'])
  const lowWater = reader.optional() === undefined ? undefined : reader.number('metadata low-water mark')
  return {
    mode,
    transactionId,
    usedMetadataBlocks,
    totalMetadataBlocks,
    usedDataBlocks,
    totalDataBlocks,
    heldMetadataRoot,
    discard,
    whenFull: whenFull ?? 'queue_if_no_space',
    needsCheck: needsCheck === 'needs_check',
    metadataLowWaterBlocks: lowWater,
  }
}
