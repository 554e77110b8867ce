// The ESM face of kernel.ts: see index.mts.
export type * from './kernel.js'
export { DeviceMapper, mangleName, trace, UdevTransaction, unmangleName } from './kernel.js'
