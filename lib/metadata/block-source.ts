import { corruptBlock } from './metadata-error.js'

/** Size of every metadata block in bytes (`THIN_METADATA_BLOCK_SIZE`: 8 sectors). */
export const METADATA_BLOCK_BYTES = 4096

/**
 * Most blocks one pool's metadata can have: 255 index entries of 16320 blocks, 15.875 GiB
 * (`DM_SM_METADATA_MAX_BLOCKS`, `dm-space-map-metadata.h`).
 */
export const MAX_METADATA_BLOCKS = 255 * 16320

/**
 * Where the reader gets metadata blocks from.
 *
 * For a device in use the implementation has to read with `O_DIRECT`: the kernel writes metadata past the page
 * cache, and because device mapper keeps the device open the cache is never dropped, so even a fresh buffered
 * open sees old blocks.
 */
export interface BlockSource {
  /**
   * Size of the device in whole blocks, where known. With it, metadata that claims more blocks than the device
   * has is reported as corrupt, and no read past the end is ever asked for.
   */
  readonly blockCount?: number

  /**
   * Reads blocks by number; one result of 4096 bytes per number, in the order asked. Up to {@link READ_BATCH}
   * numbers come at once, distinct and ascending, so that one native call serves them all. The results
   * are kept: an implementation must not reuse their memory. Rejects on an I/O error or a short read.
   */
  read(blocks: readonly number[]): Promise<Uint8Array[]>
}

/**
 * Most blocks asked for in one {@link BlockSource.read}, 1 MiB: long enough for sequential runs to pay, short enough
 * that checking a batch holds the event loop for milliseconds and that an abort is noticed soon.
 */
export const READ_BATCH = 256

/** A `DataView` on exactly the bytes of `block`. */
export function viewOf(block: Uint8Array): DataView {
  return new DataView(block.buffer, block.byteOffset, block.byteLength)
}

/**
 * Little-endian u64 at `offset` as a number. Throws `DM_METADATA_CORRUPT` past 2^53-1: every count and position in
 * this format is far below (data blocks end at 2^40), so a greater value is damage, and rounding would hide it.
 */
export function safeU64(view: DataView, offset: number, block: number, field: string): number {
  const value = view.getUint32(offset + 4, true) * 2 ** 32 + view.getUint32(offset, true)
  if (value > Number.MAX_SAFE_INTEGER) {
    throw corruptBlock(block, `${field} is ${view.getBigUint64(offset, true)}, more than any pool can have`)
  }
  return value
}
