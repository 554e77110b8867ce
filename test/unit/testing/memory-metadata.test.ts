// The metadata that the memory kernel writes is the kernel's own format: thin_check finds no fault in it, and thin_ls
// counts what the library counts. Images that thin_restore made are read back.
import { writeFileSync } from 'node:fs'
import { MiB, ThinPool } from '../../../lib/entry/index.js'
import { DeviceMapper } from '../../../lib/entry/kernel.js'
import { memoryKernel, type MemoryKernel } from '../../../lib/entry/testing.js'
import { treeBlocks } from '../../../lib/testing/metadata-nodes.js'
import { loadMetadata } from '../../../lib/testing/metadata-loader.js'
import { TableRefusal } from '../../../lib/testing/refusal.js'
import { SparseBytes } from '../../../lib/testing/sparse-bytes.js'
import { writeMetadata } from '../../../lib/testing/metadata-writer.js'
import { checkImage, imageDirectory, MetadataImage, restoreImage, thinLs } from '../../helpers/metadata/image.js'

const BLOCK = 65536
const images = imageDirectory()
afterAll(() => images.remove())

async function imageOf(kernel: MemoryKernel, name: string): Promise<string> {
  const file = images.path(name)
  writeFileSync(file, await kernel.read(`/memory/${name}-metadata.img`, 0, 4 * MiB))
  return file
}

async function sharedPool(kernel: MemoryKernel, name: string): Promise<ThinPool> {
  const pool = await ThinPool.create(kernel.poolOptions(name))
  const origin = await (await pool.createVolume({ sizeBytes: 1024 * MiB })).activate()
  await kernel.write(origin.path, 0, 600 * BLOCK) // several leaves
  const copies = await pool.snapshotMany(origin, 3)
  const copy = await copies[0]!.volume.activate()
  await kernel.write(copy.path, 100 * BLOCK, 50 * BLOCK)
  await pool.createVolume({ sizeBytes: MiB, id: 16777215 })
  return pool
}

test('thin_check passes, and thin_ls has the figures of the pool, while it runs and after its removal', async () => {
  const kernel = memoryKernel()
  const pool = await sharedPool(kernel, 'shared')
  const file = await imageOf(kernel, 'shared')
  checkImage(file)
  const counted = thinLs(file).map(({ id, mappedBlocks, exclusiveBlocks, sharedBlocks }) => {
    return { id, mappedBlocks, exclusiveBlocks, sharedBlocks }
  })
  expect(counted).toEqual(await pool.usage())
  expect(counted).toHaveLength(5)
  await pool.remove({ deactivate: true })
  checkImage(await imageOf(kernel, 'shared'))
})

test('thin_check passes with a metadata snapshot that keeps deleted volumes', async () => {
  const kernel = memoryKernel()
  const pool = await sharedPool(kernel, 'held')
  const dm = await DeviceMapper.open({ kernel })
  await dm.message('held', 'reserve_metadata_snap')
  await dm.message('held', 'delete 2')
  await pool.createVolume({ sizeBytes: MiB })
  checkImage(await imageOf(kernel, 'held'))
  await pool.remove({ deactivate: true })
  checkImage(await imageOf(kernel, 'held'))
})

test('thin_check passes for an empty pool, and the needs_check flag is written', async () => {
  const kernel = memoryKernel()
  await ThinPool.create(kernel.poolOptions('empty'))
  checkImage(await imageOf(kernel, 'empty'))
  kernel.setMode('empty', 'ro')
  const image = new MetadataImage(await imageOf(kernel, 'empty'))
  expect(image.superblock.needsCheck).toBe(true)
})

test('an image of thin_restore is loaded, and written back with the same contents', () => {
  const file = images.path('restored')
  const runs = Array.from({ length: 700 }, (_, at) => ({ virtual: 3 * at, data: at, length: 1 }))
  const thins = [1, 2, 3, 4].map(id => ({ id, transactionId: 4, creationTime: 1, snapshottedTime: 2, parts: ['all'] }))
  const alone = { id: 9, parts: [{ virtual: 5, data: 800, length: 200 }] }
  restoreImage(file, { dataBlocks: 1024, transactionId: 7, time: 5, shared: { all: runs }, thins: [...thins, alone] })
  const before = new MetadataImage(file)
  const bytes = new SparseBytes(before.bytes.length)
  bytes.write(0, before.bytes)
  const state = loadMetadata(bytes)
  for (const [block, content] of writeMetadata(state)) bytes.write(block * 4096, content)
  const again = images.path('rewritten')
  writeFileSync(again, bytes.read(0, bytes.sizeBytes))
  checkImage(again)
  expect(thinLs(again)).toEqual(thinLs(file))
})

test('metadata with a cycle is rejected', () => {
  const file = images.path('circle')
  restoreImage(file, { dataBlocks: 1024, thins: [{ id: 1, parts: [{ virtual: 0, data: 0, length: 600 }] }] })
  const image = new MetadataImage(file)
  const root = image.mappingRoot(0)
  for (let entry = 0; entry < image.node(root).count; entry++) image.setValue(root, entry, root)
  const bytes = new SparseBytes(image.bytes.length)
  bytes.write(0, image.bytes)
  expect(() => loadMetadata(bytes)).toThrow(TableRefusal)
})

test('treeBlocks() returns the number of blocks of a tree', () => {
  expect([0, 1, 252, 253, 252 * 252, 252 * 252 + 1].map(entries => treeBlocks(entries, 8))).toEqual([
    1, 1, 1, 3, 253, 256,
  ])
})
