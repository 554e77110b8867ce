import { readFileSync } from 'node:fs'
import { listThins, readPoolMetadata, thinUsage } from '../../../lib/metadata/reader.js'
import { checkImage, fileHash, imageDirectory, restoreImage, thinLs } from '../../helpers/metadata/image.js'
import { memoryBlockSource } from '../../helpers/metadata/source.js'
import { randomPool, type XmlPool } from '../../helpers/metadata/xml.js'
import { seeded } from '../../helpers/random/random.js'

const directory = imageDirectory()
afterAll(() => directory.remove())

function restored(name: string, pool: XmlPool, blocks?: number): string {
  const file = directory.path(name)
  restoreImage(file, pool, blocks)
  checkImage(file)
  return file
}

/** Reads the image with this library and with thin_ls, expects the same, and gives it back. */
async function compare(file: string) {
  const before = fileHash(file)
  const source = memoryBlockSource(readFileSync(file))
  const usage = await thinUsage(source)
  const list = await listThins(source)
  const expected = thinLs(file)
  expect(usage).toEqual(expected)
  expect(list).toHaveLength(expected.length)
  for (const [i, device] of list.entries()) expect(expected[i]).toMatchObject({ ...device })
  expect(fileHash(file)).toBe(before)
  return usage
}

test('the usage of a pool without thins is empty, as thin_ls reports it', async () => {
  const file = restored('empty', { dataBlocks: 100, thins: [] })
  expect(await compare(file)).toEqual([])
})

test('the usage of thins without mappings is that of thin_ls', async () => {
  const thins = [0, 1, 2 ** 24 - 1].map(id => ({ id, transactionId: id, parts: [] }))
  const usage = await compare(restored('unmapped', { dataBlocks: 100, thins }))
  expect(usage.map(({ id }) => id)).toEqual([0, 1, 2 ** 24 - 1])
})

test('data blocks that leaves of different thins share are counted as thin_ls counts them', async () => {
  const thins = [
    { id: 1, parts: [{ virtual: 0, data: 0, length: 300 }] },
    { id: 2, parts: [{ virtual: 5000, data: 250, length: 100 }] },
    { id: 3, parts: [{ virtual: 7, data: 340, length: 20 }] },
  ]
  const usage = await compare(restored('data-shared', { dataBlocks: 1000, thins }))
  expect(usage.map(({ exclusiveBlocks }) => exclusiveBlocks)).toEqual([250, 40, 10])
})

test('leaves that trees share are counted as thin_ls counts them', async () => {
  const shared = { base: [{ virtual: 0, data: 0, length: 2000 }] }
  const thins = [
    { id: 1, parts: ['base', { virtual: 3000, data: 5000, length: 10 }] },
    { id: 2, parts: ['base'] },
  ]
  const file = restored('leaf-shared', { dataBlocks: 10000, shared, thins })
  const usage = await compare(file)
  expect(usage.map(({ exclusiveBlocks, sharedBlocks }) => [exclusiveBlocks, sharedBlocks])).toEqual([
    [10, 2000],
    [0, 2000],
  ])
  // Two trees of 2000 mappings are 17 leaves when nothing is shared.
  const source = memoryBlockSource(readFileSync(file))
  await thinUsage(source)
  expect(new Set(source.reads).size).toBeLessThan(17)
})

test('the blocks of a tree of three levels are counted as thin_ls counts them', async () => {
  const thins = [1, 2].map(id => ({
    id,
    parts: [
      { virtual: 0, data: id * 100000, length: 70000 },
      { virtual: 2 ** 35, data: 500000 - id * 10, length: 20 },
    ],
  }))
  const usage = await compare(restored('three-levels', { dataBlocks: 600000, thins }))
  expect(usage.map(({ exclusiveBlocks }) => exclusiveBlocks)).toEqual([70010, 70010])
})

test('more thins than fit one node of the top-level trees are all listed, as by thin_ls', async () => {
  const thins = Array.from({ length: 1500 }, (_, i) => ({
    id: i * 3,
    transactionId: i,
    creationTime: i,
    parts: [{ virtual: i, data: i * 2, length: 3 }],
  }))
  const usage = await compare(restored('many-thins', { dataBlocks: 10000, thins }, 4096))
  expect(usage).toHaveLength(1500)
})

test.each([
  [1, { thins: 1, slots: 1, slotBlocks: 50 }],
  [2, { thins: 3, slots: 2, slotBlocks: 400 }],
  [3, { thins: 8, slots: 4, slotBlocks: 1500 }],
  [4, { thins: 20, slots: 10, slotBlocks: 1000 }],
  [5, { thins: 60, slots: 3, slotBlocks: 700 }],
  [6, { thins: 5, slots: 3, slotBlocks: 30000 }],
  [7, { thins: 4, slots: 12, slotBlocks: 9000 }],
])('the usage of random pool %i is that of thin_ls', async (seed, size) => {
  await compare(restored(`random-${seed}`, randomPool(seeded(seed), size), 8192))
})

test('readPoolMetadata returns the superblock with the list of thins', async () => {
  const file = restored('superblock', { dataBlocks: 321, transactionId: 5, time: 2, thins: [{ id: 9, parts: [] }] })
  const { superblock, thins } = await readPoolMetadata(memoryBlockSource(readFileSync(file)))
  expect(superblock).toMatchObject({ transactionId: 5n, time: 2, dataSpaceMap: { blocks: 321 } })
  expect(thins.map(({ id }) => id)).toEqual([9])
})

test('listThins reads no node of a mapping tree', async () => {
  const thins = [{ id: 1, parts: [{ virtual: 0, data: 0, length: 50000 }] }]
  const source = memoryBlockSource(readFileSync(restored('list-only', { dataBlocks: 60000, thins })))
  await listThins(source)
  // The superblock before and after, and the one node of the details tree.
  expect(source.reads).toHaveLength(3)
})
