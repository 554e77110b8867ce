import { blockChecksum, CHECKSUM_SALT, crc32cRaw } from '../../../lib/metadata/crc32c.js'
import { imageDirectory, MetadataImage, restoreImage } from '../../helpers/metadata/image.js'

const crc32c = (bytes: Uint8Array): number => ~crc32cRaw(bytes) >>> 0

describe('crc32c', () => {
  // The check value of the polynomial, and the iSCSI examples of RFC 3720, B.4.
  test.each([
    ['the digits 1 to 9', Buffer.from('123456789'), 0xe3069283],
    ['32 zero bytes', new Uint8Array(32), 0x8a9136aa],
    ['32 bytes 0xff', new Uint8Array(32).fill(0xff), 0x62a8ab43],
    ['0 to 31 ascending', Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
    ['31 to 0 descending', Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
    ['nothing', new Uint8Array(0), 0],
  ])('has the published value for %s', (_name, bytes, expected) => {
    expect(crc32c(bytes)).toBe(expected)
  })

  test('does not depend on the offset of the bytes in their buffer', () => {
    const text = Buffer.from('123456789')
    for (let before = 0; before < 8; before++) {
      const padded = Buffer.concat([Buffer.alloc(before, 0xa5), text, Buffer.alloc(5, 0x5a)])
      expect(crc32cRaw(padded, before, before + text.length)).toBe(crc32cRaw(text))
      expect(crc32c(padded.subarray(before, before + text.length))).toBe(0xe3069283)
    }
  })

  test('is equal to the bitwise definition at every length', () => {
    const bytes = Uint8Array.from({ length: 70 }, (_, i) => (i * 89 + 7) & 0xff)
    for (let length = 0; length <= bytes.length; length++) {
      let crc = 0xffffffff
      for (const byte of bytes.subarray(0, length)) {
        crc ^= byte
        for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0)
      }
      expect(crc32cRaw(bytes, 0, length)).toBe(crc >>> 0)
    }
  })
})

describe('blockChecksum', () => {
  const directory = imageDirectory()
  afterAll(() => directory.remove())

  test('is equal to the checksums of thin_restore in the superblock and in tree nodes', () => {
    const file = directory.path('pool')
    restoreImage(file, { dataBlocks: 1000, thins: [{ id: 1, parts: [{ virtual: 0, data: 0, length: 300 }] }] })
    const image = new MetadataImage(file)
    const stored = (block: number): number => image.view(block).getUint32(0, true)
    const nodes = [image.superblock.dataMappingRoot, image.superblock.deviceDetailsRoot, image.mappingRoot(0)]

    expect(blockChecksum(image.block(0), CHECKSUM_SALT.superblock)).toBe(stored(0))
    for (const block of nodes) {
      expect(blockChecksum(image.block(block), CHECKSUM_SALT.btreeNode)).toBe(stored(block))
      expect(blockChecksum(image.block(block), CHECKSUM_SALT.superblock)).not.toBe(stored(block))
    }
  })
})
