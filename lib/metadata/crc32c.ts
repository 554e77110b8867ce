// The only CRC in TypeScript: CRC-32C (Castagnoli), reflected, of metadata blocks; native/metadata/crc32c.cc has it in C++. With four tables, one step processes four bytes: every block that is read is
// checked, and with a single table the checksum was the largest part of a walk.
const POLYNOMIAL = 0x82f63b78
const TABLE = buildTables()

function buildTables(): Uint32Array {
  const table = new Uint32Array(4 * 256)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? POLYNOMIAL : 0)
    table[byte] = crc
  }
  for (let i = 256; i < table.length; i++) {
    const previous = table[i - 256]!
    table[i] = (previous >>> 8) ^ table[previous & 0xff]!
  }
  return table
}

/**
 * Returns the CRC-32C of `bytes[start..end)` without the final inversion, as an unsigned 32-bit number.
 *
 * The ordinary CRC-32C is `~crc32cRaw(bytes) >>> 0`. Device mapper stores the raw form (Linux
 * `drivers/md/persistent-data/dm-block-manager.c`, `dm_bm_checksum`).
 */
export function crc32cRaw(bytes: Uint8Array, start = 0, end = bytes.length): number {
  let crc = 0xffffffff
  let i = start
  for (; i + 4 <= end; i += 4) {
    crc ^= bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)
    crc =
      TABLE[768 + (crc & 0xff)]! ^
      TABLE[512 + ((crc >>> 8) & 0xff)]! ^
      TABLE[256 + ((crc >>> 16) & 0xff)]! ^
      TABLE[crc >>> 24]!
  }
  for (; i < end; i++) crc = (crc >>> 8) ^ TABLE[(crc ^ bytes[i]!) & 0xff]!
  return crc >>> 0
}

/**
 * The value that each kind of block mixes into its checksum, so that a valid block of one kind is not valid as another.
 * Source: `SUPERBLOCK_CSUM_XOR` in `dm-thin-metadata.c`, `BTREE_CSUM_XOR` in `dm-btree-spine.c`.
 */
export const CHECKSUM_SALT = { superblock: 160774, btreeNode: 121107 } as const

/** Returns the checksum that a metadata block must have in its first four bytes: of everything after them, salted. */
export function blockChecksum(block: Uint8Array, salt: number): number {
  return (crc32cRaw(block, 4) ^ salt) >>> 0
}
