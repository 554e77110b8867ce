// The source of metadata blocks, and their sizes.
import { corruptBlock } from './metadata-error.js'

/** Size of every metadata block in bytes (`THIN_METADATA_BLOCK_SIZE`: 8 sectors). */
export const METADATA_BLOCK_BYTES = 4096

/**
 * The maximum number of a pool's metadata blocks: 255 index entries of 16320 blocks, 15.875 GiB
 * (`DM_SM_METADATA_MAX_BLOCKS`, `dm-space-map-metadata.h`).
 */
export const MAX_METADATA_BLOCKS = 255 * 16320

/**
 * The source of metadata blocks.
 *
 * For a device in use the implementation has to read with `O_DIRECT`. The kernel writes metadata past the page cache,
 * and because device mapper keeps the device open the cache is never dropped, so even a new buffered open reads old
 * blocks.
 */
export interface BlockSource {
  /**
   * Size of the device in whole blocks, if it is known. With it, metadata that claims more blocks than the device has
   * is reported as corrupt, and no read past the end is requested.
   */
  readonly blockCount?: number

  /**
   * Reads blocks by number. Returns 4096 bytes per number, in the order requested. A call has up to {@link READ_BATCH}
   * numbers, distinct and ascending, so that one native call serves them all. The results are kept: an implementation
   * must not reuse their memory. Rejects on an I/O error or a short read.
   */
  read(blocks: readonly number[]): Promise<Uint8Array[]>
}

/**
 * The maximum number of blocks in one {@link BlockSource.read}, 1 MiB. Sequential reads are efficient at this size,
 * checking a batch blocks the event loop for milliseconds only, and an abort takes effect soon.
 */
export const READ_BATCH = 256

/** Returns a `DataView` on exactly the bytes of `block`. */
export function viewOf(block: Uint8Array): DataView {
  return new DataView(block.buffer, block.byteOffset, block.byteLength)
}

/**
 * Reads a little-endian u64 at `offset` as a number. Throws `DM_METADATA_CORRUPT` past 2^53-1: every count and position
 * in this format is far below (data blocks end at 2^40), so a greater value is corrupt, and rounding would hide that.
 */
export function safeU64(view: DataView, offset: number, block: number, field: string): number {
  const value = view.getUint32(offset + 4, true) * 2 ** 32 + view.getUint32(offset, true)
  if (value > Number.MAX_SAFE_INTEGER) {
    throw corruptBlock(block, `${field} is ${view.getBigUint64(offset, true)}, more than any pool can have`)
  }
  return value
}
