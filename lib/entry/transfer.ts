/**
 * Contains sending a volume as a stream and receiving it into a pool, whole or as the changes since an earlier one.
 *
 * @module dm-thin/transfer
 */
export { sendVolume, type SendOptions } from '../transfer/send.js'
export type { TransferProgress } from '../transfer/progress.js'
export { receiveVolume, type ReceiveOptions } from '../transfer/receive.js'
export { interruptedReceives, type InterruptedReceive } from '../transfer/interrupted.js'
export type { ByteSource } from '../transfer/byte-reader.js'
export type { ChunkStore, ManifestStore } from '../transfer/backup/chunk-store.js'
export { ChunkDirectory } from '../transfer/backup/chunk-directory.js'
export { saveBackup, type SaveBackupOptions, type SavedBackup } from '../transfer/backup/save.js'
export { readBackup, type ReadBackupOptions } from '../transfer/backup/read.js'
export { collectGarbage, type CollectedGarbage } from '../transfer/backup/collect-garbage.js'
