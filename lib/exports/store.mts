// The ESM face of store.ts: see index.mts.
export type * from './store.js'
export { Layer, LayerStore, runMkfs } from './store.js'
