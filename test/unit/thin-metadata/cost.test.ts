// The nodes that a delta reads: those that differ, and not those that are shared.
import { writeFileSync } from 'node:fs'
import { ThinMetadata } from '../../../lib/pool/thin-metadata.js'
import type { DeltaOptions } from '../../../lib/pool/metadata-read/walk.js'
import { collect } from '../../helpers/metadata/collect.js'
import { CopyOnWrite, nodesOf } from '../../helpers/metadata/copy-on-write.js'
import { imageDirectory, MetadataImage, restoreImage } from '../../helpers/metadata/image.js'
import { thinDelta } from '../../helpers/metadata/tools.js'
import { seeded } from '../../helpers/random/random.js'

const MAPPINGS = 100_000
const directory = imageDirectory()
let base: MetadataImage

beforeAll(() => {
  const file = directory.path('base')
  const thins = [1, 2].map(id => ({ id, parts: [{ virtual: 0, data: 0, length: id === 1 ? MAPPINGS : 1 }] }))
  restoreImage(file, { dataBlocks: 2 * MAPPINGS, thins }, 4096)
  base = new MetadataImage(file)
})
afterAll(() => directory.remove())

/** Writes an image whose volume 2 is a snapshot of volume 1 in which these blocks have changed. */
function snapshotWith(name: string, keys: readonly number[]) {
  const image = new MetadataImage(base.bytes)
  const left = image.mappingRoot(0)
  const tree = new CopyOnWrite(image, 2500)
  const right = keys.reduce((root, key) => tree.remap(root, key, MAPPINGS + key), left)
  image.setValue(image.superblock.dataMappingRoot, 1, right)
  const file = directory.path(name)
  writeFileSync(file, image.bytes)
  const [ofLeft, ofRight] = [nodesOf(image, left), nodesOf(image, right)]
  const differing = [...ofLeft].filter(block => !ofRight.has(block)).length * 2
  return { file, differing, all: ofLeft.size }
}

async function delta(file: string, options: DeltaOptions = {}) {
  let nodes = 0
  const metadata = await ThinMetadata.open(file)
  const onProgress = (progress: { nodes: number }) => (nodes = progress.nodes)
  const ranges = await collect(metadata.delta(1, 2, { ...options, onProgress }))
  await metadata.close()
  return { ranges, nodes }
}

test('equal roots have no differences, and no node is read', async () => {
  const { file } = snapshotWith('none', [])
  expect(await delta(file)).toEqual({ ranges: [], nodes: 0 })
})

const random = seeded(16)
const scattered = (count: number) => [...new Set(Array.from({ length: count }, () => random.below(MAPPINGS)))]

test.each([
  ['1 change', [77_777]],
  ['50 random changes', scattered(50)],
  ['500 changes in one run', Array.from({ length: 500 }, (_, i) => 30_000 + i)],
  ['300 random changes', scattered(300)],
])('%s: the nodes that differ are read, and no others', async (name, keys) => {
  const { file, differing, all } = snapshotWith(name.replaceAll(' ', '-'), keys)
  const { ranges, nodes } = await delta(file)
  expect(ranges).toEqual(thinDelta(file, 1, 2).filter(({ type }) => type !== 'same'))
  expect(ranges.reduce((sum, { length }) => sum + length, 0)).toBe(keys.length)
  expect(nodes).toBeGreaterThan(0)
  // Beside them, one node of each level, to find the height of both trees.
  expect(nodes).toBeLessThanOrEqual(differing + 6)
  expect(all).toBeGreaterThanOrEqual(400)
})

test('a delta with `same` reads both trees', async () => {
  const { file, all } = snapshotWith('same', [5])
  const { ranges, nodes } = await delta(file, { same: true })
  expect(ranges).toEqual(thinDelta(file, 1, 2))
  expect(nodes).toBeGreaterThanOrEqual(all)
})

test('`from` and `to` limit what is read', async () => {
  const { file, differing } = snapshotWith('span', scattered(300))
  const whole = await delta(file)
  const part = await delta(file, { from: 40_000, to: 50_000 })
  const inside = whole.ranges.filter(({ begin }) => begin >= 40_000 && begin < 50_000)
  expect(part.ranges).toEqual(inside)
  expect(part.nodes).toBeLessThan(differing / 4)
})
