import { writeFileSync } from 'node:fs'
import { thinUsage } from '../../../lib/metadata/reader.js'
import { imageDirectory, MetadataImage, restoreImage, thinLs } from '../../helpers/metadata/image.js'
import { memoryBlockSource } from '../../helpers/metadata/source.js'

// thin_restore shares leaves but builds the nodes above them anew for each thin. A kernel snapshot shares from the
// root down, so here nodes of one restored tree are put into others, and thin_ls is asked again.
const directory = imageDirectory()
const MAPPED = 70000
let restored: MetadataImage

beforeAll(() => {
  const file = directory.path('restored')
  const thins = [1, 2, 3, 4].map(id => ({ id, parts: [{ virtual: 0, data: id * 100000, length: MAPPED }] }))
  restoreImage(file, { dataBlocks: 600000, thins }, 4096)
  restored = new MetadataImage(file)
})
afterAll(() => directory.remove())

/** Usage after `change`, checked to be what thin_ls says. */
async function usageAfter(name: string, change: (image: MetadataImage, roots: number[]) => void) {
  const image = new MetadataImage(restored.bytes)
  change(
    image,
    [0, 1, 2, 3].map(position => image.mappingRoot(position)),
  )
  const file = directory.path(name)
  writeFileSync(file, image.bytes)
  const source = memoryBlockSource(image.bytes)
  const usage = await thinUsage(source)
  expect(usage).toEqual(thinLs(file))
  return { source, exclusive: usage.map(({ exclusiveBlocks }) => exclusiveBlocks) }
}

const topNode = (image: MetadataImage): number => image.superblock.dataMappingRoot

test('thins of three levels with nothing shared have all their blocks exclusively', async () => {
  const { exclusive } = await usageAfter('unshared', (image, roots) => {
    expect(image.node(roots[0]!).leaf).toBe(false)
    expect(image.node(image.node(roots[0]!).blockNumber(0)).leaf).toBe(false)
  })
  expect(exclusive).toEqual([MAPPED, MAPPED, MAPPED, MAPPED])
})

test('two thins with one root have no exclusive blocks, and the shared tree is read once', async () => {
  const { exclusive, source } = await usageAfter('root', (image, roots) => image.setValue(topNode(image), 1, roots[0]!))
  expect(exclusive).toEqual([0, 0, MAPPED, MAPPED])
  const shared = restored.node(restored.mappingRoot(0)).blockNumber(0)
  expect(source.reads.filter(block => block === shared)).toHaveLength(1)
})

test('thins that all have one root have no exclusive blocks', async () => {
  const { exclusive } = await usageAfter('one-root', (image, roots) => {
    for (const position of [1, 2, 3]) image.setValue(topNode(image), position, roots[0]!)
  })
  expect(exclusive).toEqual([0, 0, 0, 0])
})

test('two thins that share a subtree have the rest of their blocks exclusively', async () => {
  const { exclusive } = await usageAfter('subtree', (image, roots) => {
    image.setValue(roots[1]!, 0, image.node(roots[0]!).blockNumber(0))
  })
  const rest = exclusive[0]!
  expect(rest).toBeGreaterThan(0)
  expect(rest).toBeLessThan(MAPPED)
  expect(exclusive).toEqual([rest, rest, MAPPED, MAPPED])
})

test('two thins that share a single leaf have all other blocks exclusively', async () => {
  const { exclusive } = await usageAfter('leaf', (image, roots) => {
    const [first, second] = [roots[0]!, roots[1]!].map(root => image.node(root).blockNumber(1)) as [number, number]
    image.setValue(second, 3, image.node(first).blockNumber(3))
  })
  const leaf = MAPPED - exclusive[0]!
  expect(leaf).toBeLessThanOrEqual(252)
  expect(exclusive).toEqual([MAPPED - leaf, MAPPED - leaf, MAPPED, MAPPED])
})

test('data blocks of a shared subtree that another leaf also maps are counted as shared', async () => {
  const { exclusive } = await usageAfter('mixed', (image, roots) => {
    image.setValue(roots[1]!, 0, image.node(roots[0]!).blockNumber(0))
    // The last leaf of the third thin maps the first data block of the first thin, and one of its own twice.
    let block = roots[2]!
    while (!image.node(block).leaf) block = image.node(block).blockNumber(image.node(block).count - 1)
    image.setValue(block, 0, 100000 * 2 ** 24)
    image.setValue(block, 1, 300000 * 2 ** 24)
  })
  // Three of the third thin's mappings stopped being exclusive: the two changed ones and the first of its tree.
  expect(exclusive[2]).toBe(MAPPED - 3)
})

test('a leaf that is the whole tree of another thin is counted as shared at both depths', async () => {
  const { exclusive } = await usageAfter('depths', (image, roots) => {
    const leaf = image.node(image.node(roots[0]!).blockNumber(0)).blockNumber(0)
    image.setValue(topNode(image), 3, leaf)
  })
  expect(exclusive[3]).toBe(0)
  expect(exclusive[0]).toBeGreaterThanOrEqual(MAPPED - 252)
  expect(exclusive[0]).toBeLessThan(MAPPED)
})
