// The ESM entry of transfer.ts: see index.mts.
export type * from './transfer.js'
export {
  ChunkDirectory,
  collectGarbage,
  interruptedReceives,
  readBackup,
  receiveVolume,
  saveBackup,
  sendVolume,
} from './transfer.js'
