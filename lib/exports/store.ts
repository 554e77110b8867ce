/**
 * Contains the store of image layers on a thin pool.
 *
 * @module dm-thin/store
 */
// store.mts names the same for ESM.
export {
  LayerStore,
  type ApplyLayerOptions,
  type CommitOptions,
  type UpdateOptions,
  type WalkOptions,
  type WithMountedOptions,
} from '../store/layer-store.js'
export { parseFilter, parseFilters, type LayerFilter } from '../store/filter/filter.js'
export { Layer, type MountLayerOptions } from '../store/layer.js'
export type { OpenStoreOptions, PrepareOptions, StorePoolOptions } from '../store/options.js'
export type { StoreStatus } from '../store/upkeep.js'
export type { StoreFinding } from '../store/findings.js'
export type { LayerSpace } from '../store/space.js'
export type { PruneOptions } from '../store/prune.js'
export type { RepairOptions } from '../store/verify.js'
export type { StuckRemoval } from '../store/removals.js'
export type { StoreStep } from '../store/steps.js'
export { runMkfs, type Formatter, type FormatRequest } from '../store/formatter.js'
export type { Labels, LayerFileSystem, LayerInfo, LayerKind, LayerMount, LayerUsage } from '../store/types.js'
export { changes, type Change, type ChangeKind, type ChangesOptions, type ChangesProgress } from '../store/diff/changes.js'
export { diffTar, type DiffTarOptions, type TarProgress } from '../store/diff/diff-tar.js'
export { applyTar, type ApplyOptions, type ApplyProgress, type ApplyResult } from '../store/unpack/apply-tar.js'
export type { ImportedImage, ImportOptions, ImportProgress } from '../store/images/import.js'
export type { ExportOptions, ExportProgress } from '../store/images/export.js'
export {
  AdoptedStore,
  type AdoptedContents,
  type AdoptedLayer,
  type AdoptOptions,
} from '../store/adopt/adopted-store.js'
export type { AdoptedKind } from '../store/adopt/foreign-record.js'
export type { ImageConfig } from '../store/images/document.js'
