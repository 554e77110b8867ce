import { viewOf } from '../../../lib/metadata/block-source.js'
import { mappedDataBlock, parseNode } from '../../../lib/metadata/btree.js'
import { blockChecksum, CHECKSUM_SALT } from '../../../lib/metadata/crc32c.js'
import { SaturatingCounts } from '../../../lib/metadata/saturating-counts.js'
import { seeded } from '../../helpers/random/random.js'

const BLOCK = 40
const RULES = { leafValueBytes: 8, metadataBlocks: 1000 }
const CAPACITY = 252
const VALUES_AT = 32 + 8 * CAPACITY
const INTERNAL = 1
const LEAF = 2

/** A node of 8-byte values: flags, entries, then a change, then the checksum. */
function node(
  flags: number,
  entries: readonly [bigint, bigint][],
  change: (view: DataView) => void = () => {},
): Uint8Array {
  const bytes = new Uint8Array(4096)
  const view = viewOf(bytes)
  view.setUint32(4, flags, true)
  view.setBigUint64(8, BigInt(BLOCK), true)
  view.setUint32(16, entries.length, true)
  view.setUint32(20, CAPACITY, true)
  view.setUint32(24, 8, true)
  for (const [i, [key, value]] of entries.entries()) {
    view.setBigUint64(32 + 8 * i, key, true)
    view.setBigUint64(VALUES_AT + 8 * i, value, true)
  }
  change(view)
  view.setUint32(0, blockChecksum(bytes, CHECKSUM_SALT.btreeNode), true)
  return bytes
}

test('parseNode reads the largest keys and data blocks of a leaf exactly', () => {
  const lastBlock = 2n ** 40n - 1n
  const bytes = node(LEAF, [
    [0n, (7n << 24n) | 5n],
    [2n ** 32n + 1n, ((2n ** 32n) << 24n) | 0xffffffn],
    [2n ** 53n - 1n, lastBlock << 24n],
  ])
  const leaf = parseNode(bytes, BLOCK, RULES)
  expect(leaf).toMatchObject({ leaf: true, count: 3, block: BLOCK })
  expect([0, 1, 2].map(i => leaf.key(i))).toEqual([0, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER])
  expect([0, 1, 2].map(i => mappedDataBlock(leaf, i))).toEqual([7, 2 ** 32, 2 ** 40 - 1])
})

test('parseNode reads a node at any offset of a larger buffer', () => {
  const large = new Uint8Array(4096 + 100)
  large.set(node(INTERNAL, [[5n, 999n]]), 36)
  const internal = parseNode(large.subarray(36, 36 + 4096), BLOCK, RULES)
  expect(internal).toMatchObject({ leaf: false, count: 1 })
  expect(internal.blockNumber(0)).toBe(999)
})

test('parseNode reads an empty leaf as an empty tree', () => {
  expect(parseNode(node(LEAF, []), BLOCK, RULES).count).toBe(0)
})

const corrupt = (): Error => expect.objectContaining({ code: 'DM_METADATA_CORRUPT', block: BLOCK }) as Error
const one: [bigint, bigint][] = [[1n, 1n]]
const u32 = (offset: number, value: number) => (view: DataView) => view.setUint32(offset, value, true)
test.each([
  ['another location', node(LEAF, one, u32(8, BLOCK + 1)), /written for block 41/],
  ['no kind', node(0, one), /flags 0x0/],
  ['both kinds', node(INTERNAL | LEAF, one), /flags 0x3/],
  ['an unknown flag', node(LEAF | 4, one), /flags 0x6/],
  ['values of another size', node(LEAF, one, u32(24, 24)), /values of 24 bytes, not 8/],
  ['children of another size', node(INTERNAL, one, u32(24, 4)), /values of 4 bytes, not 8/],
  ['more room than a block', node(LEAF, one, u32(20, 255)), /room for 255 entries does not fit/],
  ['room for 2^32-1 entries', node(LEAF, one, u32(20, 0xffffffff)), /does not fit/],
  ['more entries than room', node(LEAF, one, u32(16, 253)), /253 entries, room for 252/],
  ['no children', node(INTERNAL, []), /without children/],
  ['equal keys', node(LEAF, [one[0]!, one[0]!]), /key 1 is 1, after 1/],
  ['descending keys', node(LEAF, [[2n, 0n], ...one]), /key 1 is 1, after 2/],
  ['a key past 2^53', node(LEAF, [[2n ** 53n, 0n]]), /key 0 is 9007199254740992/],
  ['the superblock as a child', node(INTERNAL, [[0n, 0n]]), /entry 0 points to block 0 of 1000/],
  ['a child past the end', node(INTERNAL, [...one, [2n, 1000n]]), /entry 1 points to block 1000 of 1000/],
  ['a child past 2^53', node(INTERNAL, [[0n, 2n ** 63n]]), /block number 0 is 9223372036854775808/],
])('parseNode rejects a node with %s', (_name, bytes, message) => {
  const parse = () => parseNode(bytes, BLOCK, RULES)
  expect(parse).toThrow(corrupt())
  expect(parse).toThrow(message)
})

test('parseNode rejects a change of any single byte', () => {
  const bytes = node(LEAF, one)
  for (let offset = 0; offset < bytes.length; offset++) {
    bytes[offset]! ^= 1
    expect(() => parseNode(bytes, BLOCK, RULES)).toThrow(corrupt())
    bytes[offset]! ^= 1
  }
})

test('SaturatingCounts distinguishes none, one and several references to a block', () => {
  const random = seeded(11)
  const counts = new SaturatingCounts()
  const expected = new Map<number, number>()
  const places = [0, 2 ** 16 - 500, 2 ** 32 - 500, 2 ** 40 - 1000]
  for (let i = 0; i < 5000; i++) {
    const block = places[random.below(places.length)]! + random.below(1000)
    counts.increment(block)
    expected.set(block, Math.min(2, (expected.get(block) ?? 0) + 1))
  }
  for (const start of places) {
    for (let block = start; block < start + 1000; block++) expect(counts.count(block)).toBe(expected.get(block) ?? 0)
  }
  expect(counts.count(2 ** 20)).toBe(0)
})
