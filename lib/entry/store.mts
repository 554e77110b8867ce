// The ESM entry of store.ts: see index.mts.
export type * from './store.js'
export {
  AdoptedStore,
  applyTar,
  changes,
  diffTar,
  Layer,
  LayerStore,
  parseFilter,
  parseFilters,
  runMkfs,
} from './store.js'
