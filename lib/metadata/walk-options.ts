// The options of calls that read the mappings of a volume, and the result of a bookmark.
import type { SignalOption } from '../base/options.js'

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
