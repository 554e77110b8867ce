// File systems from anybody: any bytes with a magic, or several, in them.
import fc from 'fast-check'
import { fatPlaces, fatRootLabel, PROBE_BYTES, superblocksIn } from '../../../lib/filesystem/superblocks'
import { checkPlain, everywhere, outcome, same } from '../../helpers/random/properties'

type Piece = readonly [at: number, bytes: Buffer]

const text = (at: number, magic: string): Piece => [at, Buffer.from(magic, 'latin1')]
const u32 = (at: number, value: number): Piece => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return [at, bytes]
}
const fat = (word: string, at: number): readonly Piece[] => [
  text(at, word),
  text(510, '\x55\xaa'),
  // 512 bytes a sector, 8 of them a cluster, 32 reserved, 2 tables.
  [11, Buffer.from([0, 2, 8, 32, 0, 2])],
]

const MAGICS: Record<string, readonly Piece[]> = {
  ext: [text(1024 + 0x38, '\x53\xef')],
  xfs: [text(0, 'XFSB')],
  btrfs: [text(65536 + 0x40, '_BHRfS_M')],
  f2fs: [u32(1024, 0xf2f52010)],
  erofs: [u32(1024, 0xe0f5e1e2)],
  squashfs: [text(0, 'hsqs')],
  fat16: fat('FAT16   ', 54),
  fat32: fat('FAT32   ', 82),
  swap: [text(4086, 'SWAPSPACE2')],
  'swap of large pages': [text(65526, 'SWAPSPACE2')],
  luks: [text(0, 'LUKS\xba\xbe\0\x02')],
  lvm: [text(512, 'LABELONE'), text(512 + 24, 'LVM2 001')],
}

/** Where each of them has its fields. */
const place = fc.oneof(
  fc.nat(300),
  fc.integer({ min: 1024, max: 1024 + 340 }),
  fc.integer({ min: 65536, max: 65536 + 600 }),
  fc.integer({ min: 512, max: 2048 }),
  fc.nat(PROBE_BYTES - 1),
)
const value = fc.oneof(
  fc.nat(255).map(byte => Buffer.from([byte])),
  fc.constantFrom(0, 1, 2, 0x7fffffff, 0xffffffff).map(number => u32(0, number)[1]),
  fc.uint8Array({ minLength: 1, maxLength: 16 }).map(bytes => Buffer.from(bytes)),
)
const pieces = fc.array(fc.tuple(place, value), { maxLength: 12 })

function bytesOf(names: readonly string[], others: readonly Piece[], length = PROBE_BYTES): Buffer {
  const bytes = Buffer.alloc(PROBE_BYTES)
  for (const [at, content] of [...names.flatMap(name => MAGICS[name]!), ...others]) content.copy(bytes, at)
  return bytes.subarray(0, length)
}

const disk = fc
  .record({
    names: fc.array(fc.constantFrom(...Object.keys(MAGICS)), { maxLength: 3 }),
    others: pieces,
    length: fc.oneof({ weight: 4, arbitrary: fc.constant(PROBE_BYTES) }, { weight: 1, arbitrary: fc.nat(70_000) }),
  })
  .map(({ names, others, length }) => bytesOf(names, others, length))

test.each(Object.keys(MAGICS))('superblocksIn finds one superblock if the magic of %s is the only one', name => {
  expect(superblocksIn(bytesOf([name], []))).toHaveLength(1)
})

test('superblocksIn returns text and integers only, and each type at most once, for any disk', () => {
  everywhere(12_000, disk, bytes => {
    const before = Buffer.from(bytes)
    const found = superblocksIn(bytes)
    checkPlain(found)
    const types = found.map(({ type }) => type)
    same(types, [...new Set(types)])
    same(bytes.equals(before), true)
    return found.every(({ label, uuid }) => uuid.length <= 60 && !`${label}${uuid}`.includes('\0'))
  })
})

test('the root folder of any FAT lies at a valid offset, or is not found', () => {
  const name = fc.constantFrom('fat16', 'fat32')
  const field = fc.tuple(fc.integer({ min: 11, max: 48 }), value)
  everywhere(12_000, fc.tuple(name, fc.array(field, { maxLength: 6 })), ([name, others]) => {
    const places = fatPlaces(bytesOf([name], others))
    if (places === undefined) return true
    checkPlain(places)
    return places.rootAt >= 0 && places.rootBytes >= 0
  })
})

test('the label of any root folder is text or undefined', () => {
  const entry = fc.tuple(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.constantFrom(0, 8, 0x0f, 0x10, 0x28))
  const folder = fc.array(entry, { maxLength: 8 }).map(entries => {
    for (const [bytes, attributes] of entries) bytes[11] = attributes
    return Buffer.concat(entries.map(([bytes]) => bytes))
  })
  everywhere(6000, fc.tuple(folder, fc.nat(40)), ([bytes, cut]) => {
    const label = outcome(() => fatRootLabel(bytes.subarray(0, Math.max(0, bytes.length - cut))))
    return label === undefined || (typeof label === 'string' && label.length <= 11)
  })
})
