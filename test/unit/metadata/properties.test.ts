// Metadata that somebody has changed, its checksums corrected: what is read is of the format, or damage in a named block.
import fc from 'fast-check'
import { METADATA_BLOCK_BYTES, viewOf } from '../../../lib/metadata/block-source.js'
import { parseNode } from '../../../lib/metadata/btree.js'
import { blockChecksum, CHECKSUM_SALT } from '../../../lib/metadata/crc32c.js'
import { MetadataError } from '../../../lib/metadata/metadata-error.js'
import { listThins, thinUsage, type ThinUsage } from '../../../lib/metadata/reader.js'
import { classifySuperblock, parseSuperblock } from '../../../lib/metadata/superblock.js'
import { loadMetadata } from '../../../lib/testing/metadata-loader.js'
import { TableRefusal } from '../../../lib/testing/refusal.js'
import { imageDirectory, MetadataImage, restoreImage } from '../../helpers/metadata/image.js'
import { memoryBlockSource } from '../../helpers/metadata/source.js'
import { checkPlain, everywhere, everywhereLater, holds, outcome, same } from '../../helpers/random/properties.js'

const directory = imageDirectory()
afterAll(() => directory.remove())

/** A few thins that share leaves, and enough others for an internal node in the tree of details. */
function pool(): MetadataImage {
  const file = directory.path('pool')
  const shared = { base: [{ virtual: 0, data: 0, length: 700 }] }
  const alone = (id: number, length: number) => ({ virtual: 5000, data: id * 1000, length })
  const thins = [
    ...[1, 2, 3].map(id => ({ id, parts: ['base', alone(id, 300)] })),
    ...Array.from({ length: 130 }, (_, at) => ({ id: 100 + at, parts: at % 50 === 0 ? [alone(4, 1)] : [] })),
  ]
  restoreImage(file, { dataBlocks: 9000, shared, thins }, 512)
  return new MetadataImage(file)
}
const intact = pool()

function sourceOf(changed: ReadonlyMap<number, Uint8Array>) {
  const source = memoryBlockSource(intact.bytes)
  return {
    ...source,
    read: async (blocks: readonly number[]) => {
      const contents = await source.read(blocks)
      return contents.map((bytes, at) => changed.get(blocks[at]!) ?? bytes)
    },
  }
}

let usage: ThinUsage[]
/** The blocks that are read, the superblock first. */
let used: number[]
beforeAll(async () => {
  const source = sourceOf(new Map())
  usage = await thinUsage(source)
  used = [...new Set(source.reads)]
  expect(used[0]).toBe(0)
  expect(used.length).toBeGreaterThan(15)
})

interface Change {
  readonly block: number
  readonly at: number
  readonly value: number
  readonly bytes: 1 | 4 | 8
}

/** Header and first keys, first values of both sizes, fields of the superblock; and anywhere. */
const offset = fc.oneof(
  fc.integer({ min: 4, max: 80 }),
  fc.integer({ min: 2048, max: 2200 }),
  fc.integer({ min: 1040, max: 1120 }),
  fc.integer({ min: 32, max: 380 }),
  fc.nat(METADATA_BLOCK_BYTES - 8),
)
const place = fc.oneof({ weight: 4, arbitrary: fc.nat(60) }, { weight: 1, arbitrary: fc.constant(0) })
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ block: place, at: offset, value: fc.nat(255), bytes: fc.constant(1 as const) }),
  fc.record({
    block: place,
    at: offset.map(at => at & ~3),
    value: fc.oneof(fc.nat(300), fc.nat(2 ** 32 - 1)),
    bytes: fc.constantFrom(4 as const, 8 as const),
  }),
  // Another block of the trees in a child's or a root's place: links across, up, and to itself.
  fc.record({
    block: place,
    at: fc.oneof(fc.nat(20), fc.constantFrom(0, 1, 2)).map(entry => 2048 + entry * 8),
    value: fc.nat(60).map(at => -1 - at),
    bytes: fc.constant(8 as const),
  }),
)
const changes = fc.array(change, { minLength: 1, maxLength: 4 })

/** The blocks as they are after the changes; with `seal` their checksums are right. */
function changedBlocks(list: readonly Change[], seal = true): Map<number, Uint8Array> {
  const changed = new Map<number, Uint8Array>()
  for (const { block: index, at, value, bytes } of list) {
    const block = used[index % used.length]!
    const content = changed.get(block) ?? intact.block(block).slice()
    const written = value < 0 ? used[-value % used.length]! : value
    const view = viewOf(content)
    if (bytes === 1) view.setUint8(at, written)
    else if (bytes === 4) view.setUint32(at, written, true)
    else view.setBigUint64(at, BigInt(written), true)
    changed.set(block, content)
  }
  for (const [block, content] of seal ? changed : []) sealed(content, block === 0)
  return changed
}

function sealed(content: Uint8Array, superblock: boolean): Uint8Array {
  const salt = superblock ? CHECKSUM_SALT.superblock : CHECKSUM_SALT.btreeNode
  viewOf(content).setUint32(0, blockChecksum(content, salt), true)
  return content
}

test('thinUsage of changed metadata returns plain values or names the corrupt block, with bounded reads', async () => {
  let read = 0
  await everywhereLater(600, changes, async list => {
    const source = sourceOf(changedBlocks(list))
    const found = await thinUsage(source).catch((fault: unknown) => fault)
    // Each tree node at most twice, and the superblock before and after.
    holds(source.reads.length <= 2 * source.blockCount, source.reads)
    if (!(found instanceof Error)) {
      read += 1
      return checkPlain(found)
    }
    if (!(found instanceof MetadataError)) throw found
    holds(found.code === 'DM_METADATA_CORRUPT' && typeof found.block === 'number', found)
  })
  expect(read).toBeGreaterThan(30)
})

test('thinUsage detects a change without its checksum in every block that it reads', async () => {
  await everywhereLater(200, changes, async list => {
    const changed = changedBlocks(list, false)
    const unchanged = [...changed].every(([block, content]) => Buffer.compare(content, intact.block(block)) === 0)
    const found = await thinUsage(sourceOf(changed)).catch((fault: unknown) => fault)
    if (unchanged) return same(found, usage)
    if (!(found instanceof MetadataError)) throw new Error('a damaged block was read')
  })
})

test('listThins of changed metadata returns plain values or a MetadataError', async () => {
  await everywhereLater(600, changes, async list => {
    const found = await listThins(sourceOf(changedBlocks(list))).catch((fault: unknown) => fault)
    if (!(found instanceof Error)) return checkPlain(found)
    if (!(found instanceof MetadataError)) throw found
  })
})

test('the memory kernel loads changed metadata or rejects it with an error of the library', () => {
  everywhere(200, changes, list => {
    const changed = changedBlocks(list)
    const bytes = {
      sizeBytes: intact.bytes.length,
      read: (at: number, length: number) => {
        const block = at / METADATA_BLOCK_BYTES
        const outside = new Uint8Array(length)
        return changed.get(block) ?? (block < 512 ? intact.block(block) : outside)
      },
      write: () => {},
    }
    try {
      loadMetadata(bytes)
    } catch (fault) {
      if (!(fault instanceof TableRefusal)) throw fault
    }
  })
})

/** A block of noise, or of zeros, with some bytes of the format in it. */
const anyBlock = fc.tuple(fc.nat(), fc.boolean(), changes).map(([seed, noise, list]) => {
  const content = new Uint8Array(METADATA_BLOCK_BYTES)
  let state = seed | 1
  for (let at = 0; noise && at < content.length; at++) {
    state = Math.imul(state, 1664525) + 1013904223
    content[at] = state >>> 24
  }
  for (const { at, value } of list) content[at] = Math.abs(value)
  return content
})

test('classifySuperblock classifies any bytes as blank, pool or garbage, as parseSuperblock reads them', () => {
  const changed = changes.map(list => {
    return changedBlocks(list.map(each => ({ ...each, block: 0 }))).get(0)!
  })
  everywhere(2500, fc.oneof(changed, anyBlock), content => {
    const read = outcome(() => parseSuperblock(content))
    const { kind } = classifySuperblock(content)
    same(kind, read instanceof Error ? (content.every(byte => byte === 0) ? 'blank' : 'garbage') : 'pool')
  })
})

test('parseNode of any bytes returns keys and values within the block, or a MetadataError', () => {
  const node = changes.map(list => {
    const block = 1 + (list[0]!.block % (used.length - 1))
    const [[place, content]] = [...changedBlocks(list.map(each => ({ ...each, block })))] as [[number, Uint8Array]]
    return { place, content }
  })
  const any = fc.tuple(anyBlock, fc.nat(511)).map(([content, place]) => ({ place, content: sealed(content, false) }))
  everywhere(2500, fc.tuple(fc.oneof(node, any), fc.constantFrom(8, 24)), ([{ place, content }, leafValueBytes]) => {
    try {
      const read = parseNode(content, place, { leafValueBytes, metadataBlocks: 512 })
      same(read.valueBytes, read.leaf ? leafValueBytes : 8)
      for (let at = 0; at < read.count; at++) {
        holds(read.key(at) >= at, at)
        holds(read.valueOffset(at) + read.valueBytes <= METADATA_BLOCK_BYTES, at)
        if (!read.leaf) holds(read.blockNumber(at) < 512, at)
      }
    } catch (fault) {
      if (!(fault instanceof MetadataError) || fault.block !== place) throw fault
    }
  })
})
