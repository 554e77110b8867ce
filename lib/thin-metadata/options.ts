// The options of ThinMetadata.
import type { SignalOption } from '../base/options.js'
import type { WalkOptions } from '../metadata/walk-options.js'

export type { Bookmark, BookmarkOptions, WalkOptions, WalkProgress } from '../metadata/walk-options.js'

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
