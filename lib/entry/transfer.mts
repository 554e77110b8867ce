// The ESM entry of transfer.ts: see index.mts.
export type * from './transfer.js'
export { interruptedReceives, receiveVolume, sendVolume } from './transfer.js'
