// The ESM entry of snapshotter.ts: see index.mts.
export type * from './snapshotter.js'
export { startSnapshotter } from './snapshotter.js'
