// Signatures on a device that is to be overwritten: file systems, partition tables, members of arrays and of other
// volume managers, by the magic of each at its start or its end. Pure: bytes in, names out. The names are those of
// blkid, if it has one.
import { superblocksIn } from './superblocks.js'

/** The block size of the search. Whole blocks are read. */
export const SIGNATURE_BLOCK_BYTES = 4096

const KiB = 1024

/** The offset of each magic, in bytes from the start. */
const AT_START: readonly (readonly [type: string, at: number, magic: string])[] = [
  ['ntfs', 3, 'NTFS    '],
  ['exfat', 3, 'EXFAT   '],
  ['BitLocker', 3, '-FVE-FS-'],
  ['apfs', 32, 'NXSB'],
  ['hfsplus', KiB, 'H+'],
  ['hfsplus', KiB, 'HX'],
  ['nilfs2', KiB + 6, '\x34\x34'],
  ['iso9660', 32 * KiB + 1, 'CD001'],
  ['jfs', 32 * KiB, 'JFS1'],
  ['reiserfs', 64 * KiB + 52, 'ReIsEr'],
  ['gfs2', 64 * KiB, '\x01\x16\x19\x70'],
  ['ocfs2', 2 * KiB, 'OCFSV2'],
  ['ocfs2', 4 * KiB, 'OCFSV2'],
  ['VMFS_volume_member', 1024 * KiB, '\x0d\xd0\x01\xc0'],
  ['bcache', 4 * KiB + 24, '\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81'],
  ['bcachefs', 4 * KiB + 24, '\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef'],
  ['ceph_bluestore', 0, 'bluestore block device'],
  ['stratis', 512 + 4, '!Stra0tis\x86\xff\x02^\x41rh'],
  ['DM_integrity', 0, 'integrt\0'],
  ['DM_verity_hash', 0, 'verity\0\0'],
  ['DM_snapshot_cow', 0, 'SnAp'],
  ['DM_writecache', 0, '\x21\x93\x48\x23'],
  ['vdo', 0, 'dmvdo001'],
  ['linux_raid_member', 0, '\xfc\x4e\x2b\xa9\x01\0\0\0'], // 1.1
  ['linux_raid_member', 4 * KiB, '\xfc\x4e\x2b\xa9\x01\0\0\0'], // 1.2
  ['gpt', 512, 'EFI PART'],
  ['gpt', 4 * KiB, 'EFI PART'],
  // The second header of LUKS2, from which cryptsetup restores the first.
  ...[16, 32, 64, 128, 256, 512].map(at => ['crypto_LUKS', at * KiB, 'SKUL\xba\xbe'] as const),
  // The superblocks of device mapper targets with their own metadata (magic as u64, little-endian).
  ['DM_thin_pool', 32, '\xba\x52\x9c\x01\0\0\0\0'],
  ['DM_cache', 32, '\x03\xc4\x18\0\0\0\0\0'],
  ['DM_era', 32, '\x7b\x07\xc1\x7e\0\0\0\0'],
]

/** The offset of each magic, in bytes from the end of the device. */
const AT_END: readonly (readonly [type: string, before: number, magic: string])[] = [
  ['gpt', 512, 'EFI PART'],
  ['gpt', 4096, 'EFI PART'],
  ['isw_raid_member', 1024, 'Intel Raid ISM Cfg Sig. '],
  ['ddf_raid_member', 512, '\xde\x11\xde\x11'],
]

const ZFS = { label: 256 * KiB, uberblocks: 128 * KiB, least: KiB }
const UBERBLOCK = ['\x0c\xb1\xba\0\0\0\0\0', '\0\0\0\0\0\xba\xb1\x0c']
const MD_MAGIC = '\xfc\x4e\x2b\xa9'

/** Returns the offsets of the four labels of a ZFS vdev, two at each end. */
function zfsLabels(sizeBytes: number): number[] {
  const end = Math.floor(sizeBytes / ZFS.label) * ZFS.label
  return [0, ZFS.label, end - 2 * ZFS.label, end - ZFS.label]
}

/**
 * Returns the offsets of MD superblocks, versions 0.90 and 1.0: the last whole 64 KiB, and the last 8 KiB in steps of 4
 * KiB.
 */
const mdPlaces = (sizeBytes: number): number[] => [
  Math.floor(sizeBytes / (64 * KiB)) * 64 * KiB - 64 * KiB,
  Math.floor((Math.floor(sizeBytes / 512) - 16) / 8) * 8 * 512,
]

/** Returns the block numbers that `signaturesIn` needs of a device of this size, ascending. */
export function signatureBlocks(sizeBytes: number): number[] {
  const ranges: [from: number, length: number][] = [[0, 68 * KiB]]
  for (const [, at, magic] of AT_START) ranges.push([at, magic.length])
  for (const [, before, magic] of AT_END) ranges.push([sizeBytes - before, magic.length])
  for (const at of mdPlaces(sizeBytes)) ranges.push([at, 16])
  for (const at of zfsLabels(sizeBytes)) ranges.push([at + ZFS.uberblocks, ZFS.label - ZFS.uberblocks])
  const blocks = new Set<number>()
  for (const [from, length] of ranges) {
    if (from < 0) continue
    const last = Math.min(from + length, sizeBytes) - 1
    for (let at = Math.floor(from / SIGNATURE_BLOCK_BYTES); at * SIGNATURE_BLOCK_BYTES <= last; at++) blocks.add(at)
  }
  return [...blocks].sort((a, b) => a - b)
}

/**
 * Returns the names of the signatures found, each once. `blocks`: contents of the blocks of `signatureBlocks` by
 * number.
 */
export function signaturesIn(sizeBytes: number, blocks: ReadonlyMap<number, Uint8Array>): string[] {
  const bytes = (from: number, length: number): Buffer => {
    const piece = Buffer.alloc(length)
    for (let done = 0; done < length;) {
      const block = Math.floor((from + done) / SIGNATURE_BLOCK_BYTES)
      const inBlock = (from + done) % SIGNATURE_BLOCK_BYTES
      const count = Math.min(SIGNATURE_BLOCK_BYTES - inBlock, length - done)
      piece.set(blocks.get(block)?.subarray(inBlock, inBlock + count) ?? [], done)
      done += count
    }
    return piece
  }
  // No magic crosses a block boundary.
  const has = (at: number, magic: string): boolean => {
    if (at < 0 || at + magic.length > sizeBytes) return false
    const block = blocks.get(Math.floor(at / SIGNATURE_BLOCK_BYTES))
    const inBlock = at % SIGNATURE_BLOCK_BYTES
    for (let index = 0; index < magic.length; index++) {
      if (block?.[inBlock + index] !== magic.charCodeAt(index)) return false
    }
    return true
  }
  const found = new Set<string>(superblocksIn(bytes(0, 68 * KiB)).map(({ type }) => type))
  for (const [type, at, magic] of AT_START) if (has(at, magic)) found.add(type)
  for (const [type, before, magic] of AT_END) if (has(sizeBytes - before, magic)) found.add(type)
  if (mdPlaces(sizeBytes).some(at => has(at, MD_MAGIC))) found.add('linux_raid_member')
  if (zfsLabels(sizeBytes).some(label => hasUberblock(label, has))) found.add('zfs_member')
  if (found.size === 0 && isPartitionTable(bytes(0, 512))) found.add('dos')
  return [...found]
}

function hasUberblock(label: number, has: (at: number, magic: string) => boolean): boolean {
  for (let at = label + ZFS.uberblocks; at < label + ZFS.label; at += ZFS.least) {
    if (UBERBLOCK.some(magic => has(at, magic))) return true
  }
  return false
}

/**
 * Returns true for a master boot record. The boot sectors of file systems have the same ending, and no entries of this
 * form.
 */
function isPartitionTable(sector: Buffer): boolean {
  if (sector.readUInt16LE(510) !== 0xaa55) return false
  return [446, 462, 478, 494].every(entry => (sector.readUInt8(entry) & 0x7f) === 0)
}
