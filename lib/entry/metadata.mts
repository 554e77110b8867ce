// The ESM entry of metadata.ts: see index.mts.
export type * from './metadata.js'
export { ThinMetadata } from './metadata.js'
