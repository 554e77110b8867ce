// The parser of superblocks, over bytes made here field by field; test/kernel/filesystem/detect.test.ts has those of every mkfs.
import {
  fatPlaces,
  fatRootLabel,
  PROBE_BYTES,
  superblocksIn,
  type Superblock,
} from '../../../lib/filesystem/superblocks'

const UUID = '00112233-4455-6677-8899-aabbccddeeff'
const RAW_UUID = Buffer.from(UUID.replaceAll('-', ''), 'hex')

const blank = () => Buffer.alloc(PROBE_BYTES)
const only = (bytes: Buffer): Superblock => {
  const found = superblocksIn(bytes)
  expect(found).toHaveLength(1)
  return found[0]!
}

function ext(features: { compatible?: number; incompatible?: number; readOnly?: number } = {}): Buffer {
  const bytes = blank()
  bytes.writeUInt32LE(1000, 1024 + 4)
  bytes.writeUInt32LE(2, 1024 + 0x18) // 4096
  bytes.writeUInt16LE(0xef53, 1024 + 0x38)
  bytes.writeUInt32LE(features.compatible ?? 0, 1024 + 0x5c)
  bytes.writeUInt32LE(features.incompatible ?? 0, 1024 + 0x60)
  bytes.writeUInt32LE(features.readOnly ?? 0, 1024 + 0x64)
  RAW_UUID.copy(bytes, 1024 + 0x68)
  bytes.write('label', 1024 + 0x78)
  return bytes
}

test.each([
  ['ext2', {}],
  ['ext2', { incompatible: 0x2 | 0x10, readOnly: 0x7 }],
  ['ext3', { compatible: 0x4, incompatible: 0x2 | 0x4, readOnly: 0x7 }],
  ['ext4', { compatible: 0x4, incompatible: 0x40 }],
  ['ext4', { incompatible: 0x40 }],
  ['ext4', { compatible: 0x4, readOnly: 0x400 }],
])('a superblock is reported as %s if it has the features %j', (type, features) => {
  const expected = { type, label: 'label', uuid: UUID, sizeBytes: 4_096_000, blockBytes: 4096 }
  expect(only(ext(features))).toEqual(expected)
})

test('an ext4 with more than 2^32 blocks is reported with its full size', () => {
  const bytes = ext({ incompatible: 0x80 })
  bytes.writeUInt32LE(3, 1024 + 0x150)
  expect(only(bytes).sizeBytes).toBe((3 * 2 ** 32 + 1000) * 4096)
})

test('an external journal of ext4 is not reported as a file system', () => {
  expect(superblocksIn(ext({ incompatible: 0x8 }))).toEqual([])
})

test('sizes that no device can have are reported as undefined', () => {
  const bytes = ext({ incompatible: 0x80 })
  bytes.writeUInt32LE(0xffffffff, 1024 + 0x150)
  expect(only(bytes).sizeBytes).toBeUndefined()
  bytes.writeUInt32LE(0xffffffff, 1024 + 0x18)
  expect(only(bytes)).toMatchObject({ sizeBytes: undefined, blockBytes: undefined })
})

test('an erofs whose size exceeds 2^53 is reported without a size', () => {
  const bytes = blank()
  bytes.writeUInt32LE(0xe0f5e1e2, 1024)
  bytes.writeUInt8(30, 1024 + 12)
  bytes.writeUInt32LE(0xffffffff, 1024 + 36)
  expect(only(bytes)).toMatchObject({ type: 'erofs', sizeBytes: undefined, blockBytes: 2 ** 30 })
})

test('the superblock of xfs is read as big-endian', () => {
  const bytes = blank()
  bytes.write('XFSB')
  bytes.writeUInt32BE(512, 4)
  bytes.writeBigUInt64BE(2n ** 40n, 8)
  RAW_UUID.copy(bytes, 32)
  bytes.write('twelve chars', 108)
  const expected = { type: 'xfs', label: 'twelve chars', uuid: UUID, sizeBytes: 2 ** 49, blockBytes: 512 }
  expect(only(bytes)).toEqual(expected)
})

test('swap is found at the end of a page of any size', () => {
  for (const page of [4096, 16384, 65536]) {
    const bytes = blank()
    bytes.write('SWAPSPACE2', page - 10)
    bytes.writeUInt32LE(9, 1028)
    RAW_UUID.copy(bytes, 1036)
    expect(only(bytes)).toEqual({ type: 'swap', label: '', uuid: UUID, sizeBytes: 10 * page, blockBytes: page })
  }
})

test('a label of LUKS is read from version 2 on', () => {
  const bytes = blank()
  bytes.write('LUKS\xba\xbe', 'latin1')
  bytes.writeUInt16BE(1, 6)
  bytes.write('aes', 24) // the cipher's name, where the second version has its label
  bytes.write(UUID, 168)
  expect(only(bytes)).toMatchObject({ type: 'crypto_LUKS', label: '', uuid: UUID })
  bytes.writeUInt16BE(2, 6)
  expect(only(bytes).label).toBe('aes')
})

test('a physical volume is found in each of the first four sectors, at the offset that its header states', () => {
  for (const at of [0, 512, 1024, 1536]) {
    const bytes = blank()
    bytes.write('LABELONE', at)
    bytes.writeUInt32LE(32, at + 20)
    bytes.write('LVM2 001', at + 24)
    bytes.write('abcdef0123456789ABCDEF0123456789', at + 32)
    bytes.writeBigUInt64LE(2n ** 30n, at + 64)
    const uuid = 'abcdef-0123-4567-89AB-CDEF-0123-456789'
    expect(only(bytes)).toMatchObject({ type: 'LVM2_member', uuid, sizeBytes: 2 ** 30 })
    bytes.writeUInt32LE(0xffffffff, at + 20)
    expect(only(bytes).type).toBe('LVM2_member')
  }
})

function fat(word: string, at: number): Buffer {
  const bytes = blank()
  bytes.write(word, at)
  bytes.writeUInt16LE(0xaa55, 510)
  bytes.writeUInt16LE(512, 11)
  bytes.writeUInt8(8, 13)
  bytes.writeUInt16LE(32, 14)
  bytes.writeUInt8(2, 16)
  bytes.writeUInt32LE(2 ** 21, 32)
  return bytes
}

test('the root folder of a FAT16 is located after its tables, and that of a FAT32 at its cluster', () => {
  const narrow = fat('FAT16   ', 54)
  narrow.writeUInt16LE(512, 17)
  narrow.writeUInt16LE(100, 22)
  expect(fatPlaces(narrow)).toEqual({ sectorBytes: 512, rootAt: 232 * 512, rootBytes: 16384 })
  const wide = fat('FAT32   ', 82)
  wide.writeUInt32LE(1000, 36)
  wide.writeUInt32LE(3, 44)
  wide.writeUInt32LE(0xabcd1234, 67)
  wide.write('NO NAME    ', 71)
  expect(fatPlaces(wide)).toEqual({ sectorBytes: 512, rootAt: 2032 * 512 + 4096, rootBytes: 4096 })
  expect(only(wide)).toEqual({ type: 'vfat', label: '', uuid: 'ABCD-1234', sizeBytes: 2 ** 30, blockBytes: 512 })
  for (const [place, value] of [
    [12, 1], // sectors of 256 bytes more
    [13, 3], // a cluster of three sectors
    [16, 0], // no tables
    [510, 0],
  ] as const) {
    const broken = Buffer.from(wide)
    broken.writeUInt8(value, place)
    expect(superblocksIn(broken)).toEqual([])
  }
})

test('a FAT32 whose root cluster is below 2 has no root folder', () => {
  const wide = fat('FAT32   ', 82)
  for (const cluster of [0, 1]) {
    wide.writeUInt32LE(cluster, 44)
    expect(fatPlaces(wide)).toEqual({ sectorBytes: 512, rootAt: 32 * 512, rootBytes: 0 })
    expect(only(wide).type).toBe('vfat')
  }
})

test('the label of a FAT is the first volume entry of its root folder, without deleted entries and long names', () => {
  const entry = (name: string, attributes: number) => {
    const bytes = Buffer.alloc(32)
    bytes.write(name.padEnd(11), 'latin1')
    bytes.writeUInt8(attributes, 11)
    return bytes
  }
  const others = [entry('\xe5LD', 8), entry('Along', 0x0f), entry('FILE', 0x20), entry('FOLDER', 0x10)]
  expect(fatRootLabel(Buffer.concat([...others, entry('LABEL', 8)]))).toBe('LABEL')
  expect(fatRootLabel(Buffer.concat([...others, Buffer.alloc(32), entry('LABEL', 8)]))).toBeUndefined()
  expect(fatRootLabel(Buffer.concat(others))).toBeUndefined()
  expect(fatRootLabel(Buffer.alloc(7))).toBeUndefined()
})

test('empty input, blank input and noise contain no file system', () => {
  expect(superblocksIn(Buffer.alloc(0))).toEqual([])
  expect(superblocksIn(blank())).toEqual([])
  expect(superblocksIn(Buffer.alloc(PROBE_BYTES, 0xff))).toEqual([])
  expect(only(Buffer.from('XFSB'))).toMatchObject({ type: 'xfs', uuid: '', sizeBytes: 0 })
})

test('an older magic is reported too, after the first', () => {
  const bytes = ext()
  bytes.write('_BHRfS_M', 65536 + 0x40)
  expect(superblocksIn(bytes).map(each => each.type)).toEqual(['ext2', 'btrfs'])
})
