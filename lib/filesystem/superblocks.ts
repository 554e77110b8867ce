// Superblocks at the start of a device: magic, label and uuid of each file system. Pure: bytes in, facts out. The names
// are those of blkid. The numbers are from the kernel's headers (fs/ext4/ext4.h, fs/xfs/libxfs/xfs_format.h,
// include/uapi/linux/btrfs_tree.h, include/linux/f2fs_fs.h, include/linux/swap.h …).

/**
 * A type of content that `detectFileSystem` recognizes, by its blkid name: the file systems `ext2`, `ext3`, `ext4`,
 * `xfs`, `btrfs`, `f2fs`, `vfat`, `squashfs` and `erofs`; `swap`; `crypto_LUKS`, an encrypted volume; `LVM2_member`, a
 * physical volume of LVM.
 */
export type FileSystemType =
  | 'ext2'
  | 'ext3'
  | 'ext4'
  | 'xfs'
  | 'btrfs'
  | 'f2fs'
  | 'vfat'
  | 'swap'
  | 'squashfs'
  | 'erofs'
  | 'crypto_LUKS'
  | 'LVM2_member'

/** The facts of a superblock. */
export interface Superblock {
  /** The type of the contents, by its blkid name. */
  readonly type: FileSystemType
  /** The label; empty if there is none. */
  readonly label: string
  /** The uuid as the kernel and blkid write it; empty if there is none. */
  readonly uuid: string
  /** The size in bytes according to the superblock; undefined if it has none. */
  readonly sizeBytes: number | undefined
  /** The block size in bytes; undefined if there is none. */
  readonly blockBytes: number | undefined
}

/**
 * The number of bytes that are read. The farthest superblock is that of btrfs, at 64 KiB; the magic of swap ends the
 * first page.
 */
export const PROBE_BYTES = 68 * 1024

const SUPERBLOCK_AT = 1024

/** Returns all superblocks found: more than one if earlier contents have left their magic. */
export function superblocksIn(start: Uint8Array): Superblock[] {
  const bytes = Buffer.from(start.buffer, start.byteOffset, start.byteLength)
  const whole = bytes.length < PROBE_BYTES ? Buffer.concat([bytes], PROBE_BYTES) : bytes
  return READERS.flatMap(read => read(whole) ?? [])
}

const READERS: readonly ((bytes: Buffer) => Superblock | undefined)[] = [
  luks,
  lvm,
  xfs,
  squashfs,
  vfat,
  ext,
  f2fs,
  erofs,
  swap,
  btrfs,
]

/** Returns the text of a field of fixed length, which ends at its first NUL. */
const text = (bytes: Buffer, at: number, length: number, encoding: 'utf8' | 'latin1' | 'utf16le' = 'utf8'): string =>
  bytes
    .toString(encoding, at, at + length)
    .replace(/\0[^]*$/, '')
    .trimEnd()

const has = (bytes: Buffer, at: number, magic: string): boolean =>
  bytes.toString('latin1', at, at + magic.length) === magic

function uuid(bytes: Buffer, at: number): string {
  const hex = bytes.toString('hex', at, at + 16)
  if (/^0*$/.test(hex)) return ''
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

/** Multiplies a u64; undefined beyond 2^53, which no device reaches. */
function product(count: bigint, size: number): number | undefined {
  const bytes = count * BigInt(size)
  return bytes <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(bytes) : undefined
}

/** Returns 2^shift; undefined if the shift, which is read from disk, is out of range. */
const power = (shift: number): number | undefined => (shift <= 30 ? 2 ** shift : undefined)

const EXT = { journalDevice: 0x8, bits64: 0x80, hasJournal: 0x4 }
/** Features that the drivers of ext3 and ext2 support; any other makes the file system an ext4. */
const EXT3_INCOMPATIBLE = 0x2 | 0x4 | 0x10
const EXT3_READ_ONLY = 0x1 | 0x2 | 0x4

function ext(bytes: Buffer): Superblock | undefined {
  const at = SUPERBLOCK_AT
  if (bytes.readUInt16LE(at + 0x38) !== 0xef53) return undefined
  const [compatible, incompatible, readOnly] = [0x5c, 0x60, 0x64].map(field => bytes.readUInt32LE(at + field))
  if (incompatible! & EXT.journalDevice) return undefined
  const blockBytes = power(10 + bytes.readUInt32LE(at + 0x18))
  const high = incompatible! & EXT.bits64 ? bytes.readUInt32LE(at + 0x150) : 0
  const blocks = BigInt(high) * 2n ** 32n + BigInt(bytes.readUInt32LE(at + 0x4))
  const plain = (incompatible! & ~EXT3_INCOMPATIBLE) === 0 && (readOnly! & ~EXT3_READ_ONLY) === 0
  const type = !plain ? 'ext4' : compatible! & EXT.hasJournal ? 'ext3' : 'ext2'
  return {
    type,
    label: text(bytes, at + 0x78, 16),
    uuid: uuid(bytes, at + 0x68),
    sizeBytes: blockBytes === undefined ? undefined : product(blocks, blockBytes),
    blockBytes,
  }
}

function xfs(bytes: Buffer): Superblock | undefined {
  if (!has(bytes, 0, 'XFSB')) return undefined
  const blockBytes = bytes.readUInt32BE(4)
  return {
    type: 'xfs',
    label: text(bytes, 108, 12),
    uuid: uuid(bytes, 32),
    sizeBytes: product(bytes.readBigUInt64BE(8), blockBytes),
    blockBytes,
  }
}

function btrfs(bytes: Buffer): Superblock | undefined {
  const at = 64 * 1024
  if (!has(bytes, at + 0x40, '_BHRfS_M')) return undefined
  return {
    type: 'btrfs',
    label: text(bytes, at + 0x12b, 256),
    uuid: uuid(bytes, at + 0x20),
    sizeBytes: product(bytes.readBigUInt64LE(at + 0x70), 1),
    blockBytes: bytes.readUInt32LE(at + 0x90),
  }
}

function f2fs(bytes: Buffer): Superblock | undefined {
  const at = SUPERBLOCK_AT
  if (bytes.readUInt32LE(at) !== 0xf2f52010) return undefined
  const blockBytes = power(bytes.readUInt32LE(at + 16))
  return {
    type: 'f2fs',
    label: text(bytes, at + 124, 1024, 'utf16le'),
    uuid: uuid(bytes, at + 108),
    sizeBytes: blockBytes === undefined ? undefined : product(bytes.readBigUInt64LE(at + 36), blockBytes),
    blockBytes,
  }
}

function erofs(bytes: Buffer): Superblock | undefined {
  const at = SUPERBLOCK_AT
  if (bytes.readUInt32LE(at) !== 0xe0f5e1e2) return undefined
  const blockBytes = power(bytes.readUInt8(at + 12))
  return {
    type: 'erofs',
    label: text(bytes, at + 64, 16),
    uuid: uuid(bytes, at + 48),
    sizeBytes: blockBytes === undefined ? undefined : product(BigInt(bytes.readUInt32LE(at + 36)), blockBytes),
    blockBytes,
  }
}

function squashfs(bytes: Buffer): Superblock | undefined {
  if (!has(bytes, 0, 'hsqs')) return undefined
  const sizeBytes = product(bytes.readBigUInt64LE(40), 1)
  return { type: 'squashfs', label: '', uuid: '', sizeBytes, blockBytes: bytes.readUInt32LE(12) }
}

/** Offsets and lengths from a boot sector; undefined if it is not a FAT. */
export interface FatPlaces {
  readonly sectorBytes: number
  /** The root folder, which has the label in effect. Its length is 0 if the boot sector does not name one. */
  readonly rootAt: number
  readonly rootBytes: number
}

const FAT_WORDS = ['FAT12   ', 'FAT16   ', 'FAT     ']

export function fatPlaces(bytes: Buffer): FatPlaces | undefined {
  const wide = has(bytes, 82, 'FAT32   ')
  if (bytes.readUInt16LE(510) !== 0xaa55 || !(wide || FAT_WORDS.some(word => has(bytes, 54, word)))) return undefined
  const [sectorBytes, cluster, reserved] = [bytes.readUInt16LE(11), bytes.readUInt8(13), bytes.readUInt16LE(14)]
  const [tables, entries] = [bytes.readUInt8(16), bytes.readUInt16LE(17)]
  const sound = [512, 1024, 2048, 4096].includes(sectorBytes) && cluster > 0 && (cluster & (cluster - 1)) === 0
  if (!sound || reserved === 0 || tables === 0) return undefined
  const tableSectors = wide ? bytes.readUInt32LE(36) : bytes.readUInt16LE(22)
  const data = (reserved + tables * tableSectors) * sectorBytes
  if (!wide) return { sectorBytes, rootAt: data, rootBytes: entries * 32 }
  // The root folder of FAT32 is a chain of clusters. The label is its first entry with every formatter.
  const clusterBytes = cluster * sectorBytes
  const rootCluster = bytes.readUInt32LE(44)
  // Clusters 0 and 1 do not exist.
  if (rootCluster < 2) return { sectorBytes, rootAt: data, rootBytes: 0 }
  return { sectorBytes, rootAt: data + (rootCluster - 2) * clusterBytes, rootBytes: clusterBytes }
}

function vfat(bytes: Buffer): Superblock | undefined {
  const places = fatPlaces(bytes)
  if (places === undefined) return undefined
  const extended = has(bytes, 82, 'FAT32   ') ? 67 : 39
  const serial = bytes.readUInt32LE(extended).toString(16).toUpperCase().padStart(8, '0')
  const label = text(bytes, extended + 4, 11, 'latin1')
  const sectorCount = bytes.readUInt16LE(19) || bytes.readUInt32LE(32)
  return {
    type: 'vfat',
    label: label === 'NO NAME' ? '' : label,
    uuid: `${serial.slice(0, 4)}-${serial.slice(4)}`,
    sizeBytes: sectorCount * places.sectorBytes,
    blockBytes: places.sectorBytes,
  }
}

/** Returns the label in the root folder, which a relabel changes; undefined if there is none. */
export function fatRootLabel(root: Uint8Array): string | undefined {
  const bytes = Buffer.from(root.buffer, root.byteOffset, root.byteLength)
  for (let at = 0; at + 32 <= bytes.length; at += 32) {
    const [first, attributes] = [bytes.readUInt8(at), bytes.readUInt8(at + 11)]
    if (first === 0) return undefined
    // The entry is deleted, or a part of a long name (which has the volume bit too).
    if (first === 0xe5 || (attributes & 0x3f) === 0x0f) continue
    if ((attributes & 0x18) === 0x08) return text(bytes, at, 11, 'latin1')
  }
  return undefined
}

/** Parses a swap header. The magic ends a page of the machine that made it, and the header fills the rest. */
function swap(bytes: Buffer): Superblock | undefined {
  for (const page of [4096, 8192, 16384, 32768, 65536]) {
    if (!has(bytes, page - 10, 'SWAPSPACE2')) continue
    const pages = BigInt(bytes.readUInt32LE(1028)) + 1n
    return {
      type: 'swap',
      label: text(bytes, 1052, 16),
      uuid: uuid(bytes, 1036),
      sizeBytes: product(pages, page),
      blockBytes: page,
    }
  }
  return undefined
}

function luks(bytes: Buffer): Superblock | undefined {
  if (!has(bytes, 0, 'LUKS\xba\xbe')) return undefined
  const label = bytes.readUInt16BE(6) === 2 ? text(bytes, 24, 48) : ''
  return { type: 'crypto_LUKS', label, uuid: text(bytes, 168, 40), sizeBytes: undefined, blockBytes: undefined }
}

/** Parses the label of a physical volume, which is in one of the first four sectors. */
function lvm(bytes: Buffer): Superblock | undefined {
  const at = [0, 512, 1024, 1536].find(each => has(bytes, each, 'LABELONE') && has(bytes, each + 24, 'LVM2 001'))
  if (at === undefined) return undefined
  const header = at + Math.min(bytes.readUInt32LE(at + 20), 512 - 40)
  const plain = text(bytes, header, 32, 'latin1')
  const parts = [0, 6, 10, 14, 18, 22, 26, 32].map((from, index, all) => plain.slice(from, all[index + 1]))
  const sizeBytes = product(bytes.readBigUInt64LE(header + 32), 1)
  return { type: 'LVM2_member', label: '', uuid: parts.slice(0, 7).join('-'), sizeBytes, blockBytes: undefined }
}
