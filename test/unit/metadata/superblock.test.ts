import { classifySuperblock, parseSuperblock } from '../../../lib/metadata/superblock.js'
import { imageDirectory, MetadataImage, restoreImage } from '../../helpers/metadata/image.js'
import { seeded } from '../../helpers/random/random.js'

const directory = imageDirectory()
let pool: Uint8Array

beforeAll(() => {
  restoreImage(
    directory.path('pool'),
    {
      dataBlocks: 12345,
      time: 9,
      transactionId: 77,
      thins: [{ id: 3, parts: [{ virtual: 0, data: 10, length: 40 }] }],
    },
    1024,
  )
  pool = new MetadataImage(directory.path('pool')).block(0).slice()
})
afterAll(() => directory.remove())

const corrupt = (): Error =>
  expect.objectContaining({ name: 'DmThinError', code: 'DM_METADATA_CORRUPT', block: 0 }) as Error
const garbage = (detail: string) => ({ kind: 'garbage', detail: expect.stringContaining(detail) as string })

/** The pool's superblock with one change, its checksum right again. */
function changed(change: (view: DataView) => void): Uint8Array {
  const image = new MetadataImage(pool)
  change(image.view(0))
  image.seal(0)
  return image.bytes
}

describe('parseSuperblock', () => {
  test('reads the fields that thin_restore wrote', () => {
    expect(parseSuperblock(pool)).toMatchObject({
      needsCheck: false,
      time: 9,
      transactionId: 77n,
      metadataSnapshotBlock: 0,
      dataSpaceMap: { blocks: 12345, allocated: 40 },
      metadataSpaceMap: { blocks: 1024 },
      dataBlockSizeSectors: 128,
      compatFlags: 0,
      compatReadOnlyFlags: 0,
    })
  })

  test('keeps all 64 bits of the transaction id', () => {
    const id = 2n ** 64n - 2n
    expect(parseSuperblock(changed(view => view.setBigUint64(48, id, true))).transactionId).toBe(id)
  })

  test('reads the needs_check flag, the metadata snapshot and the compatible features', () => {
    const bytes = changed(view => {
      view.setUint32(4, 1, true)
      view.setBigUint64(56, 500n, true)
      view.setUint32(352, 0x10, true)
      view.setUint32(356, 0x20, true)
    })
    const expected = { needsCheck: true, metadataSnapshotBlock: 500, compatFlags: 0x10, compatReadOnlyFlags: 0x20 }
    expect(parseSuperblock(bytes)).toMatchObject(expected)
  })

  const u32 = (offset: number, value: number) => (view: DataView) => view.setUint32(offset, value, true)
  const u64 = (offset: number, value: bigint) => (view: DataView) => view.setBigUint64(offset, value, true)
  test.each([
    ['magic number', u64(32, 27022011n), /not a thin pool superblock/],
    ['location', u64(8, 12n), /another location/],
    ['version', u32(40, 3), /version 3/],
    ['incompatible features', u32(360, 4), /incompatible features 0x4/],
    ['metadata block size', u32(340, 16), /metadata block size of 16 sectors/],
    ['data block size zero', u32(336, 0), /data block size of 0 sectors/],
    ['data block size not in steps', u32(336, 129), /data block size of 129/],
    ['data block size too large', u32(336, 2097280), /data block size of 2097280/],
    ['data blocks', u64(64, 2n ** 41n), /data blocks, the maximum/],
    ['a count past 2^53', u64(64, 2n ** 60n), /size of the data space map is 1152921504606846976/],
    ['allocation', u64(72, 12346n), /12346 of 12345 blocks allocated/],
    ['metadata blocks', u64(192, 4161601n), /4161601 metadata blocks/],
    ['mapping root past the end', u64(320, 1024n), /root of the mapping tree at block 1024 of 1024/],
    ['mapping root in the superblock', u64(320, 0n), /root of the mapping tree at block 0/],
    ['details root', u64(328, 5000n), /root of the details tree at block 5000/],
    ['metadata snapshot', u64(56, 1024n), /metadata snapshot at block 1024/],
  ])('rejects an invalid superblock: %s', (_name, change, message) => {
    const bytes = changed(change)
    expect(() => parseSuperblock(bytes)).toThrow(corrupt())
    expect(() => parseSuperblock(bytes)).toThrow(message)
  })

  test('rejects buffers of other than 4096 bytes', () => {
    expect(() => parseSuperblock(pool.subarray(1))).toThrow(RangeError)
    expect(() => classifySuperblock(new Uint8Array(512))).toThrow(RangeError)
  })

  test('rejects a change of any single byte', () => {
    for (let offset = 0; offset < pool.length; offset++) {
      const bytes = pool.slice()
      bytes[offset]! ^= 0x40
      expect(() => parseSuperblock(bytes)).toThrow(corrupt())
    }
  })
})

describe('classifySuperblock', () => {
  test('reports zeros as blank', () => {
    expect(classifySuperblock(new Uint8Array(4096))).toEqual({ kind: 'blank' })
  })

  test('reports a block with a single bit set as garbage', () => {
    for (const offset of [0, 4, 2048, 4095]) {
      const bytes = new Uint8Array(4096)
      bytes[offset] = 1
      expect(classifySuperblock(bytes)).toMatchObject({ kind: 'garbage' })
    }
  })

  test('reports a restored pool as a pool, with its superblock', () => {
    expect(classifySuperblock(pool)).toEqual({ kind: 'pool', superblock: parseSuperblock(pool) })
  })

  test('reports random bytes as garbage', () => {
    const random = seeded(1)
    const bytes = Uint8Array.from({ length: 4096 }, () => random.below(256))
    expect(classifySuperblock(bytes)).toEqual(garbage('magic number'))
  })

  test('reports a corrupt pool or one with unknown features as garbage, with the reason', () => {
    const damaged = pool.slice()
    damaged[4000] = 1
    expect(classifySuperblock(damaged)).toEqual(garbage('checksum'))
    const unknown = changed(view => view.setUint32(360, 1, true))
    expect(classifySuperblock(unknown)).toEqual(garbage('features 0x1'))
  })
})
