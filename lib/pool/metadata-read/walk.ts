// The walk over the mappings of a volume: its options, and the ranges that native walks return.
import { type SignalOption, checkNumber } from '../../base/options.js'
import type { DeltaRange, MappedRange } from '../../metadata/ranges.js'

/** The amount that a walk has read so far. */
export interface WalkProgress {
  /** The number of tree nodes read, 4096 bytes each. */
  readonly nodes: number
  /** The virtual block that the walk has reached. */
  readonly block: number
}

/** Options of `mappings` and `delta`. Positions are virtual blocks: data blocks of the pool, counted from the volume's start. */
export interface WalkOptions extends SignalOption {
  /** The first virtual block. Default 0. Blocks before it are not read. */
  readonly from?: number
  /**
   * The virtual block after the last. Default: no end. Mappings after the end of a volume that was shrunk stay in the
   * metadata: give the volume's size in blocks to leave them out.
   */
  readonly to?: number
  /** Called after each native call, which reads up to 2048 nodes. */
  readonly onProgress?: (progress: WalkProgress) => void
}

/** Options of `bookmark`. */
export interface BookmarkOptions extends SignalOption {
  /** Called after each native call, which reads up to 2048 nodes. */
  readonly onProgress?: (progress: WalkProgress) => void
}

/** A bookmark that was written. */
export interface Bookmark {
  /** The length of the file in bytes. */
  readonly bytes: number
  /** The number of mapped blocks in it. */
  readonly blocks: number
}

/** Options of `ThinMetadata.open`. */
export interface OpenMetadataOptions extends SignalOption {
  /**
   * Reads the metadata snapshot of a running pool instead of its present state, as `--metadata-snap` of `thin_dump` does.
   * Somebody must have reserved it, and must hold it until this object is closed. Default false.
   */
  readonly metadataSnapshot?: boolean
  /**
   * False: reads a running pool without reserving its metadata snapshot, at any number of places concurrently, and frees
   * blocks as usual. Only `devices`, `mappings` and `delta`, and only of volumes that nobody writes or deletes: they must
   * be inactive, or active as read-only, while they are read. Default true.
   */
  readonly reserve?: boolean
}

/** Options of `delta`. */
export interface DeltaOptions extends WalkOptions {
  /** Includes ranges that are the same in both volumes. Reads both trees completely. Default false. */
  readonly same?: boolean
  /** Adds the data blocks, and ends ranges where these are not contiguous. Default false. */
  readonly withData?: boolean
}

// The format of native/metadata/range_list.h.
const HEADER = 3
const NUMBERS = 7
const TYPES = ['leftOnly', 'rightOnly', 'different', 'same'] as const

/** Checks the range of a walk and returns it for the native call. */
export function checkSpan({ from = 0, to = Number.MAX_SAFE_INTEGER }: WalkOptions): { from: number; to: number } {
  return { from: checkNumber('from', from, { min: 0 }), to: checkNumber('to', to, { min: 0 }) }
}

/** Returns true for the last batch of a walk. */
export const isLast = (batch: Float64Array): boolean => batch[0] === 1

export const progressOf = (batch: Float64Array): WalkProgress => ({ nodes: batch[1]!, block: batch[2]! })

/** Returns the mappings in a batch. */
export function* mappedRangesIn(batch: Float64Array): Generator<MappedRange> {
  for (let at = HEADER; at < batch.length; at += NUMBERS) {
    yield { begin: batch[at + 1]!, length: batch[at + 2]!, data: batch[at + 3]!, time: batch[at + 4]! }
  }
}

/** Returns the differences in a batch. */
export function* deltaRangesIn(batch: Float64Array, withData: boolean): Generator<DeltaRange> {
  for (let at = HEADER; at < batch.length; at += NUMBERS) {
    const type = TYPES[batch[at]! - 1]!
    const range = { type, begin: batch[at + 1]!, length: batch[at + 2]! }
    if (!withData) yield range
    else
      yield {
        ...range,
        ...(type !== 'rightOnly' && { leftData: batch[at + 3]! }),
        ...(type !== 'leftOnly' && { rightData: batch[at + 5]! }),
      }
  }
}
