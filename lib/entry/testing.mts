// The ESM entry of testing.ts: see index.mts.
export type * from './testing.js'
export { memoryKernel } from './testing.js'
