import { MetadataError } from '../../../lib/metadata/metadata-error.js'
import { listThins, thinUsage, type ThinUsage } from '../../../lib/metadata/reader.js'
import { imageDirectory, MetadataImage, restoreImage } from '../../helpers/metadata/image.js'
import { memoryBlockSource } from '../../helpers/metadata/source.js'

const directory = imageDirectory()
let intact: MetadataImage
let usage: ThinUsage[]

beforeAll(async () => {
  const file = directory.path('pool')
  const shared = { base: [{ virtual: 0, data: 0, length: 3000 }] }
  const thins = [
    ...[1, 2, 3].map(id => ({ id, parts: ['base', { virtual: 5000, data: id * 5000, length: 1000 }] })),
    // Enough thins that the top-level trees have internal nodes too.
    ...Array.from({ length: 300 }, (_, i) => ({ id: 100 + i, parts: [{ virtual: 9, data: 30000 + i, length: 1 }] })),
  ]
  restoreImage(file, { dataBlocks: 40000, shared, thins }, 512)
  intact = new MetadataImage(file)
  usage = await thinUsage(memoryBlockSource(intact.bytes))
})
afterAll(() => directory.remove())

const damaged = (change: (image: MetadataImage) => void): MetadataImage => {
  const image = new MetadataImage(intact.bytes)
  change(image)
  return image
}
const corrupt = (block: number): Error => expect.objectContaining({ code: 'DM_METADATA_CORRUPT', block }) as Error
const firstChild = (image: MetadataImage, block: number, bytes = 8): number => image.node(block, bytes).blockNumber(0)

/** One block of each kind the reader looks into. */
function kinds(image: MetadataImage): Record<string, number> {
  const { dataMappingRoot: top, deviceDetailsRoot: details } = image.superblock
  const root = firstChild(image, firstChild(image, top))
  const detailsLeaf = firstChild(image, details, 24)
  const kinds = { top, topLeaf: firstChild(image, top), root, leaf: firstChild(image, root), details, detailsLeaf }
  expect([kinds.topLeaf, kinds.leaf].map(block => image.node(block).leaf)).toEqual([true, true])
  expect([top, root].map(block => image.node(block).leaf)).toEqual([false, false])
  expect(image.node(detailsLeaf, 24).leaf).toBe(true)
  return kinds
}

test.each(['top', 'topLeaf', 'root', 'leaf', 'details', 'detailsLeaf'])(
  'a flipped bit in the %s block is reported with the number of the block',
  async kind => {
    const block = kinds(intact)[kind]!
    const image = damaged(image => (image.block(block)[100]! ^= 4))
    await expect(thinUsage(memoryBlockSource(image.bytes))).rejects.toEqual(corrupt(block))
    const list = listThins(memoryBlockSource(image.bytes))
    if (kind.startsWith('details')) await expect(list).rejects.toEqual(corrupt(block))
    else expect(await list).toHaveLength(usage.length)
  },
)

test('a node that is its own child is reported as corruption', async () => {
  const { root } = kinds(intact)
  for (const entry of [0, 1, intact.node(root!).count - 1]) {
    const image = damaged(image => image.setValue(root!, entry, root!))
    await expect(thinUsage(memoryBlockSource(image.bytes))).rejects.toBeInstanceOf(MetadataError)
  }
})

test('a cycle in a top-level tree is reported with the number of the block', async () => {
  const { top } = kinds(intact)
  const image = damaged(image => image.setValue(top!, 0, top!))
  await expect(thinUsage(memoryBlockSource(image.bytes))).rejects.toEqual(corrupt(top!))
})

test.each([
  ['the details tree as a mapping tree', 'root', 'details', 'details'],
  ['a node of another height', 'root', 'top', 'top'],
  ['the same leaf twice in the details', 'details', 'detailsLeaf', 'detailsLeaf'],
])('a link to %s is reported with the number of the block', async (_name, from, to, named) => {
  const blocks = kinds(intact)
  const leafBytes = from === 'details' ? 24 : 8
  const image = damaged(image => {
    const node = image.node(blocks[from]!, leafBytes)
    image.view(node.block).setBigUint64(node.valueOffset(1), BigInt(blocks[to]!), true)
    image.seal(node.block)
  })
  await expect(thinUsage(memoryBlockSource(image.bytes))).rejects.toEqual(corrupt(blocks[named]!))
})

/** Puts `levels` more internal nodes, of one child each, between `parent` and its first child. */
function stretch(image: MetadataImage, parent: number, levels: number): void {
  // The end of the image is free: the pool fills hardly a part of it.
  for (let block = 500; block < 500 + levels; block++) {
    const child = firstChild(image, parent)
    image.block(block).set(image.block(parent))
    image.view(block).setBigUint64(8, BigInt(block), true)
    image.view(block).setUint32(16, 1, true)
    image.seal(block)
    image.setValue(block, 0, child)
    image.setValue(parent, 0, block)
  }
}

test.each(['top', 'root'])('leaves at different levels below %s are reported as corruption', async kind => {
  const image = damaged(image => stretch(image, kinds(intact)[kind]!, 1))
  await expect(thinUsage(memoryBlockSource(image.bytes))).rejects.toThrow(/leaf at level|subtrees of different heights/)
})

test.each(['top', 'root'])('more levels below %s than any tree has are reported as corruption', async kind => {
  const image = damaged(image => stretch(image, kinds(intact)[kind]!, 11))
  await expect(thinUsage(memoryBlockSource(image.bytes))).rejects.toThrow(
    /reached at level 13 of a tree|has children, or is part of a loop/,
  )
})

test('a block of the details tree that is also the root of a mapping tree is reported with its number', async () => {
  const { topLeaf, detailsLeaf } = kinds(intact)
  const image = damaged(image => image.setValue(topLeaf!, 0, detailsLeaf!))
  await expect(thinUsage(memoryBlockSource(image.bytes))).rejects.toEqual(corrupt(detailsLeaf!))
})

test('a mapping past the end of the data device is reported as corruption', async () => {
  const { leaf } = kinds(intact)
  const image = damaged(image => image.setValue(leaf!, 5, 40000 * 2 ** 24))
  await expect(thinUsage(memoryBlockSource(image.bytes))).rejects.toThrow(/mapping 5 is to data block 40000 of 40000/)
})

test('a thin in only one of the top-level trees is reported as corruption', async () => {
  const { topLeaf, detailsLeaf } = kinds(intact)
  const renamed = damaged(image => {
    image.view(topLeaf!).setBigUint64(32 + 2 * 8, 4n, true)
    image.seal(topLeaf!)
  })
  await expect(thinUsage(memoryBlockSource(renamed.bytes))).rejects.toThrow(/thin 3 has details but no mapping tree/)
  const forgotten = damaged(image => {
    const { count } = image.node(detailsLeaf!, 24)
    image.view(detailsLeaf!).setUint32(16, count - 1, true)
    image.seal(detailsLeaf!)
  })
  await expect(thinUsage(memoryBlockSource(forgotten.bytes))).rejects.toThrow(/has a mapping tree but no details/)
})

test('metadata larger than its device is reported as corruption', async () => {
  const short = intact.bytes.subarray(0, 400 * 4096)
  await expect(listThins(memoryBlockSource(short))).rejects.toThrow(/512 metadata blocks on a device of 400/)
})
