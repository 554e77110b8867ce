/**
 * Contains sending a volume as a stream and receiving it into a pool, whole or as the changes since an earlier one.
 *
 * @module dm-thin/transfer
 */
// transfer.mts exports the same names for ESM.
export { sendVolume, type SendOptions, type TransferProgress } from '../transfer/send.js'
export { receiveVolume, type ReceiveOptions } from '../transfer/receive.js'
export type { ByteSource } from '../transfer/byte-reader.js'
