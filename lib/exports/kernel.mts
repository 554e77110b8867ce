// The ESM face of kernel.ts: see index.mts.
export type * from './kernel.js'
export { DeviceMapper, mangleName, unmangleName } from './kernel.js'
