/**
 * Contains the reader of a pool's metadata: volumes, their mappings, and the differences of two volumes.
 *
 * @module dm-thin/metadata
 */
export { ThinMetadata } from '../pool/thin-metadata.js'
export type {
  Bookmark,
  BookmarkOptions,
  DeltaOptions,
  OpenMetadataOptions,
  WalkOptions,
  WalkProgress,
} from '../pool/metadata-read/walk.js'
export type { DeltaRange, MappedRange } from '../metadata/ranges.js'
export type { MetadataFinding } from '../pool/metadata-read/find-faults.js'
export type { ThinUsage } from '../metadata/reader.js'
export type { ThinDevice } from '../metadata/details.js'
export type { SpaceMapRoot, Superblock } from '../metadata/superblock.js'
export type { SignalOption } from '../base/options.js'
