// Units are in the names: options and fields end in Bytes, Sectors or Blocks. Where a number crosses from bytes to
// the kernel's sectors it changes its type, so that the two cannot be mixed up unnoticed.

declare const unit: unique symbol
/** 512-byte sectors: the unit of every mapping table. */
export type Sectors = number & { readonly [unit]: 'sectors' }

/** 1024 bytes. */
export const KiB = 1024
/** 1024 KiB. */
export const MiB = 1024 * KiB
/** 1024 MiB. */
export const GiB = 1024 * MiB
/** 1024 GiB. */
export const TiB = 1024 * GiB
/** The sector of the kernel's tables, in bytes. */
export const SECTOR_BYTES = 512

/** Thin ids are 24 bits wide (drivers/md/dm-thin.c MAX_DEV_ID). */
export const MAX_THIN_ID = 2 ** 24 - 1
/** Data blocks are 64 KiB to 1 GiB, in steps of 64 KiB (dm-thin.c DATA_DEV_BLOCK_SIZE_MIN_SECTORS …). */
export const MIN_DATA_BLOCK_BYTES = 64 * KiB
export const MAX_DATA_BLOCK_BYTES = 1 * GiB
/** The largest metadata device that the kernel uses: 255 bitmaps of 16320 blocks of 4 KiB. */
export const MAX_METADATA_BYTES = 255 * 16320 * 4096

export const sectors = (bytes: number): Sectors => (bytes / SECTOR_BYTES) as Sectors
export const sectorsToBytes = (count: number): number => count * SECTOR_BYTES
