// Signatures over bytes made here; test/kernel/pool/signatures.test.ts has those of the tools.
import { SIGNATURE_BLOCK_BYTES, signatureBlocks, signaturesIn } from '../../../lib/filesystem/signatures'
import fc from 'fast-check'
import { everywhere } from '../../helpers/random/properties'

const KiB = 1024
const MiB = 1024 * KiB

/** A device of zeros, of which only the blocks that are looked at can be read. */
function device(sizeBytes: number, pieces: readonly (readonly [at: number, bytes: string | Buffer])[]): string[] {
  const whole = Buffer.alloc(Math.ceil(sizeBytes / SIGNATURE_BLOCK_BYTES) * SIGNATURE_BLOCK_BYTES)
  for (const [at, bytes] of pieces) whole.set(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes, at)
  const read = (block: number) => whole.subarray(block * SIGNATURE_BLOCK_BYTES, (block + 1) * SIGNATURE_BLOCK_BYTES)
  return signaturesIn(sizeBytes, new Map(signatureBlocks(sizeBytes).map(block => [block, read(block)])))
}

const SIZE = 8 * MiB + 3 * 512
const UBERBLOCK = Buffer.from('0cb1ba0000000000', 'hex')
const zfsEnd = Math.floor(SIZE / (256 * KiB)) * 256 * KiB

test('a blank device has no signature', () => {
  expect(device(SIZE, [])).toEqual([])
})

test.each<[type: string, where: string, at: number, bytes: string | Buffer]>([
  ['btrfs', 'its first superblock', 64 * KiB + 0x40, '_BHRfS_M'],
  ['swap', 'the end of the first page', 4096 - 10, 'SWAPSPACE2'],
  ['crypto_LUKS', 'the first header', 0, 'LUKS\xba\xbe'],
  ['crypto_LUKS', 'the second header alone', 16 * KiB, 'SKUL\xba\xbe'],
  ['crypto_LUKS', 'the second header of a large first one', 512 * KiB, 'SKUL\xba\xbe'],
  ['gpt', 'the second sector', 512, 'EFI PART'],
  ['gpt', 'the second sector of 4096 bytes', 4096, 'EFI PART'],
  ['gpt', 'the last sector', SIZE - 512, 'EFI PART'],
  ['gpt', 'the last sector of 4096 bytes', SIZE - 4096, 'EFI PART'],
  ['zfs_member', 'label 0', 128 * KiB, UBERBLOCK],
  [
    'zfs_member',
    'label 1, written on a machine of the other byte order',
    512 * KiB - KiB,
    Buffer.from(UBERBLOCK).reverse(),
  ],
  ['zfs_member', 'label 2', zfsEnd - 384 * KiB + 5 * KiB, UBERBLOCK],
  ['zfs_member', 'label 3', zfsEnd - 128 * KiB, UBERBLOCK],
  ['linux_raid_member', 'version 0.90', Math.floor(SIZE / 65536) * 65536 - 65536, '\xfc\x4e\x2b\xa9'],
  ['linux_raid_member', 'version 1.0', Math.floor((SIZE / 512 - 16) / 8) * 4096, '\xfc\x4e\x2b\xa9'],
  ['linux_raid_member', 'version 1.1', 0, '\xfc\x4e\x2b\xa9\x01'],
  ['linux_raid_member', 'version 1.2', 4096, '\xfc\x4e\x2b\xa9\x01'],
  ['isw_raid_member', 'the end', SIZE - 1024, 'Intel Raid ISM Cfg Sig. 1.2'],
  ['ddf_raid_member', 'the end', SIZE - 512, '\xde\x11\xde\x11'],
  ['bcache', 'sector 8', 4096 + 24, Buffer.from('c68573f64e1a45ca8265f57f48ba6d81', 'hex')],
  ['ntfs', 'the boot sector', 3, 'NTFS    '],
  ['iso9660', 'sector 64', 32 * KiB + 1, 'CD001'],
  ['DM_thin_pool', 'a superblock', 32, Buffer.from('ba529c0100000000', 'hex')],
  ['DM_integrity', 'the start', 0, 'integrt\0'],
  ['dos', 'an empty partition table', 510, '\x55\xaa'],
])('the signature of %s is found at %s', (type, _, at, bytes) => {
  expect(device(SIZE, [[at, bytes]])).toEqual([type])
})

test('the boot sector of a file system is not taken for a partition table, and signatures at both ends are reported', () => {
  const ntfs: [number, string][] = [
    [3, 'NTFS    '],
    [510, '\x55\xaa'],
  ]
  expect(device(SIZE, ntfs)).toEqual(['ntfs'])
  expect(device(SIZE, [...ntfs, [SIZE - 512, 'EFI PART']])).toEqual(['ntfs', 'gpt'])
  const code: [number, string] = [446, 'x']
  expect(device(SIZE, [[510, '\x55\xaa'], code])).toEqual([])
})

test('signatures of a device of any size and content are a list', () => {
  const noise = fc.uint8Array({ minLength: 1, maxLength: 600 })
  everywhere(200, fc.tuple(fc.nat(4096), fc.nat(), noise), ([sectors, place, bytes]) => {
    const sizeBytes = sectors * 512
    const at = place % Math.max(1, sizeBytes - bytes.length)
    const pieces = sizeBytes > bytes.length ? [[at, Buffer.from(bytes)] as const] : []
    expect(Array.isArray(device(sizeBytes, pieces))).toBe(true)
  })
})
