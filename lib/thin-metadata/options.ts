// The options of ThinMetadata.
import type { SignalOption } from '../base/options.js'

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

/** Options of `delta`. */
export interface DeltaOptions extends WalkOptions {
  /** Includes ranges that are the same in both volumes. Reads both trees completely. Default false. */
  readonly same?: boolean
  /** Adds the data blocks, and ends ranges where these are not contiguous. Default false. */
  readonly withData?: boolean
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
