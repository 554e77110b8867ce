// What `dm-thin/store` exports: image layers on a thin pool. store.mts names the same for ESM.
export {
  LayerStore,
  type CommitOptions,
  type UpdateOptions,
  type WalkOptions,
  type WithMountedOptions,
} from '../store/layer-store.js'
export { parseFilter, parseFilters, type LayerFilter } from '../store/filter.js'
export { Layer, type MountLayerOptions } from '../store/layer.js'
export type { OpenStoreOptions, PrepareOptions, StorePoolOptions } from '../store/options.js'
export type { StoreFinding } from '../store/findings.js'
export type { LayerSpace } from '../store/space.js'
export type { PruneOptions } from '../store/prune.js'
export type { RepairOptions } from '../store/verify.js'
export type { StuckRemoval } from '../store/removals.js'
export type { StoreStep } from '../store/steps.js'
export { runMkfs, type Formatter, type FormatRequest } from '../store/formatter.js'
export type { Labels, LayerFileSystem, LayerInfo, LayerKind, LayerMount, LayerUsage } from '../store/types.js'
