// Units are part of the names: options and fields end in Bytes, Sectors or Blocks. The number of sectors that the
// kernel receives has a type of its own, so that bytes and sectors cannot be mixed up.

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

/** The highest thin id; thin ids have 24 bits (drivers/md/dm-thin.c MAX_DEV_ID). */
export const MAX_THIN_ID = 2 ** 24 - 1
/** The highest thin id that the library chooses for a volume. Those above it are for the spare volumes of keepers. */
export const LAST_CHOSEN_THIN_ID = MAX_THIN_ID - 2 ** 16
/**
 * The smallest data block, of 64 KiB; sizes are 64 KiB to 1 GiB in steps of 64 KiB (dm-thin.c
 * DATA_DEV_BLOCK_SIZE_MIN_SECTORS …).
 */
export const MIN_DATA_BLOCK_BYTES = 64 * KiB
export const MAX_DATA_BLOCK_BYTES = 1 * GiB
/** The largest metadata device that the kernel uses: 255 bitmaps of 16320 blocks of 4 KiB. */
export const MAX_METADATA_BYTES = 255 * 16320 * 4096

export const sectors = (bytes: number): Sectors => (bytes / SECTOR_BYTES) as Sectors
export const sectorsToBytes = (count: number): number => count * SECTOR_BYTES

const SIZE_UNITS: Readonly<Record<string, number>> = { '': 1, KiB, MiB, GiB, TiB }

/** Parses `10GiB`, `512 MiB` or `1073741824`. Returns undefined for any other text. */
export function parseSize(text: string): number | undefined {
  const [, digits, unit] = /^(\d{1,16}) ?([KMGT]iB|)$/.exec(text) ?? []
  const bytes = Number(digits) * (SIZE_UNITS[unit ?? ''] ?? NaN)
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : undefined
}
