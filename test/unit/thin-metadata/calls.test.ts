// The calls of ThinMetadata: arguments, refusals, abort, close, and iterations that end early.
import { truncateSync, writeFileSync } from 'node:fs'
import { ThinMetadata } from '../../../lib/pool/thin-metadata.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { collect } from '../../helpers/metadata/collect.js'
import { imageDirectory, restoreImage } from '../../helpers/metadata/image.js'

const directory = imageDirectory()
let file: string
let metadata: ThinMetadata

beforeAll(() => {
  file = directory.path('pool')
  // No two mappings follow each other, so that each is a range: more than one batch has.
  const parts = Array.from({ length: 12_000 }, (_, i) => ({ virtual: 3 * i, data: 2 * i, length: 1 }))
  const thins = [
    { id: 1, transactionId: 5, creationTime: 2, snapshottedTime: 3, parts },
    { id: 9, parts: [{ virtual: 10, data: 30_000, length: 4 }] },
  ]
  restoreImage(file, { dataBlocks: 40_000, transactionId: 7, time: 4, thins })
})
afterAll(() => directory.remove())
beforeEach(async () => {
  metadata = await ThinMetadata.open(file)
})
afterEach(() => metadata.close())

test('the superblock and the volumes are those of the pool', async () => {
  expect(metadata.superblock).toMatchObject({ transactionId: 7n, time: 4, metadataSnapshotBlock: 0 })
  expect(metadata.superblock.dataSpaceMap).toMatchObject({ blocks: 40_000, allocated: 12_004 })
  expect(metadata.dataBlockBytes).toBe(65536)
  expect(await metadata.devices()).toEqual([
    { id: 1, mappedBlocks: 12_000, transactionId: 5n, creationTime: 2, snapshottedTime: 3 },
    { id: 9, mappedBlocks: 4, transactionId: 0n, creationTime: 0, snapshottedTime: 0 },
  ])
})

test('several batches are one iteration, with progress', async () => {
  const progress: number[][] = []
  const ranges = await collect(
    metadata.mappings(1, { onProgress: ({ nodes, block }) => progress.push([nodes, block]) }),
  )
  expect(ranges).toHaveLength(12_000)
  expect(ranges[11_999]).toEqual({ begin: 35_997, length: 1, data: 23_998, time: 0 })
  expect(progress.length).toBeGreaterThan(1)
  for (const at of [0, 1]) {
    const numbers = progress.map(each => each[at]!)
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b))
  }
})

test('nothing is read before the program has taken the ranges of the batch before', async () => {
  let batches = 0
  const walk = metadata.mappings(1, { onProgress: () => batches++ })
  const seen: number[] = []
  for (let taken = 1; taken <= 12_000; taken++) {
    await walk.next()
    if (taken % 1000 === 0) await new Promise(resolve => setTimeout(resolve, 5))
    seen[batches] = (seen[batches] ?? 0) + 1
  }
  expect(seen.reduce((sum, count) => sum + count)).toBe(12_000)
  expect(Math.max(...seen.slice(1))).toBeLessThanOrEqual(4096)
  expect((await walk.next()).done).toBe(true)
})

test('`from` and `to` cut ranges', async () => {
  expect(await collect(metadata.mappings(9, { from: 11, to: 13 }))).toEqual([
    { begin: 11, length: 2, data: 30_001, time: 0 },
  ])
  expect(await collect(metadata.mappings(9, { from: 14 }))).toEqual([])
  expect(await collect(metadata.mappings(9, { from: 12, to: 12 }))).toEqual([])
  const types = (await collect(metadata.delta(1, 9, { from: 9, to: 16 }))).map(({ type, begin }) => [type, begin])
  expect(types).toEqual([
    ['leftOnly', 9],
    ['rightOnly', 10],
    ['different', 12],
    ['rightOnly', 13],
    ['leftOnly', 15],
  ])
})

test('an iteration that ends early leaves the metadata usable', async () => {
  for await (const { begin } of metadata.mappings(1)) if (begin > 30) break
  expect(await collect(metadata.mappings(9))).toHaveLength(1)
})

test('iterations run at the same time, each with its own place', async () => {
  const all = await Promise.all([1, 9, 1].map(id => collect(metadata.mappings(id))))
  expect(all.map(ranges => ranges.length)).toEqual([12_000, 1, 12_000])
})

test('an abort ends the iteration', async () => {
  const controller = new AbortController()
  let seen = 0
  const walk = async () => {
    for await (const _ of metadata.mappings(1, { signal: controller.signal })) if (++seen === 1) controller.abort()
  }
  await expectCode(walk(), 'ABORT_ERR')
  expect(seen).toBeLessThan(12_000)
  await expectCode(metadata.devices({ signal: controller.signal }), 'ABORT_ERR')
  await expectCode(ThinMetadata.open(file, { signal: controller.signal }), 'ABORT_ERR')
})

test('calls and iterations after close() reject with DM_CLOSED', async () => {
  const walk = metadata.mappings(1)
  await walk.next()
  await metadata.close()
  await metadata.close()
  await expectCode(collect(walk), 'DM_CLOSED')
  await expectCode(metadata.devices(), 'DM_CLOSED')
})

test('a volume that the pool does not have is refused', async () => {
  await expectCode(collect(metadata.mappings(2)), 'DM_VOLUME_NOT_FOUND')
  await expectCode(collect(metadata.delta(1, 10)), 'DM_VOLUME_NOT_FOUND')
  await expectCode(collect(metadata.delta(0, 1)), 'DM_VOLUME_NOT_FOUND')
})

test('invalid arguments are refused by name', async () => {
  const wrong = { form: 1 } as object
  await expectCode(collect(metadata.mappings(-1)), 'DM_INVALID_ARGUMENT')
  await expectCode(collect(metadata.mappings(1, { from: 0.5 })), 'DM_INVALID_ARGUMENT')
  await expectCode(collect(metadata.mappings(1, wrong)), 'DM_INVALID_ARGUMENT')
  await expectCode(collect(metadata.delta(1, 2 ** 24)), 'DM_INVALID_ARGUMENT')
  await expectCode(ThinMetadata.open('', {}), 'DM_INVALID_ARGUMENT')
  await expectCode(ThinMetadata.open(7 as unknown as string), 'DM_INVALID_ARGUMENT')
  await expectCode(ThinMetadata.open(file, wrong), 'DM_INVALID_ARGUMENT')
})

test('a file that is no metadata of a pool is rejected', async () => {
  const other = directory.path('other')
  await expectCode(ThinMetadata.open(other), 'DM_FILE_MISSING')
  writeFileSync(other, 'short')
  await expectCode(ThinMetadata.open(other), 'DM_METADATA_CORRUPT')
  writeFileSync(other, Buffer.alloc(8192))
  await expectCode(ThinMetadata.open(other), 'DM_METADATA_BLANK')
  writeFileSync(other, Buffer.alloc(8192, 7))
  expect(await expectCode(ThinMetadata.open(other), 'DM_METADATA_CORRUPT')).toMatchObject({ block: 0 })
  await expectCode(ThinMetadata.open(file, { metadataSnapshot: true }), 'DM_METADATA_SNAPSHOT_NOT_HELD')
})

test('metadata that is larger than its file is refused', async () => {
  const cut = directory.path('cut')
  restoreImage(cut, { dataBlocks: 100, thins: [] })
  truncateSync(cut, 40 * 4096)
  await expectCode(ThinMetadata.open(cut), 'DM_METADATA_CORRUPT')
})
