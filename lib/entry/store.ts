/**
 * Contains the store of image layers on a thin pool.
 *
 * @module dm-thin/store
 */
export { LayerStore } from '../store/layer-store.js'
export type {
  ApplyLayerOptions,
  CommitOptions,
  ExportRawOptions,
  ForkOptions,
  ForkResult,
  ImportRawOptions,
  ResetOptions,
  ResizeOptions,
  UpdateOptions,
  WalkOptions,
  WithMountedOptions,
} from '../store/layer-store-options.js'
export { parseFilter, parseFilters, type LayerFilter } from '../store/filter/filter.js'
export { Layer, type MountLayerOptions } from '../store/layers/layer.js'
export type { OpenStoreOptions, PrepareOptions, StorePoolOptions } from '../store/common/store-options.js'
export type { RawProgress } from '../store/layers/raw-image.js'
export type { StoreMetrics, StoreStatus } from '../store/layer-store-options.js'
export type { StoreFinding } from '../store/common/findings.js'
export type { LayerSpace } from '../store/layers/space.js'
export type { PruneOptions } from '../store/layers/prune.js'
export type { RepairOptions } from '../store/recovery/repair-store.js'
export type { StuckRemoval } from '../store/engine/removal-queue.js'
export type { StoreStep } from '../store/common/step-channel.js'
export { runMkfs, type Formatter, type FormatRequest } from '../store/common/mkfs.js'
export type {
  Labels,
  LayerFileSystem,
  LayerInfo,
  LayerKind,
  LayerMount,
  LayerUsage,
} from '../store/common/layer-types.js'
export {
  changes,
  type Change,
  type ChangeKind,
  type ChangesOptions,
  type ChangesProgress,
} from '../store/compare/changes.js'
export { diffTar, type DiffTarOptions, type TarProgress } from '../store/tar-write/diff-tar.js'
export { applyTar, type ApplyOptions, type ApplyProgress, type ApplyResult } from '../store/tar-read/apply-tar.js'
export type { ImportedImage } from '../store/images/import.js'
export type { ImportOptions, ImportProgress } from '../store/images/import-options.js'
export type { ExportOptions, ExportProgress } from '../store/images/export.js'
export {
  AdoptedStore,
  type AdoptedContents,
  type AdoptedLayer,
  type AdoptOptions,
} from '../store/foreign/adopted-store.js'
export type { AdoptedKind } from '../store/foreign/foreign-record.js'
export type { ImageConfig } from '../store/images/document.js'
