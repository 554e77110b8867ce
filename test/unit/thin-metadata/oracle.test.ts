// Mappings and differences of metadata at rest: the same as thin_dump and thin_delta report.
import { ThinMetadata } from '../../../lib/pool/thin-metadata.js'
import { fileHash, imageDirectory, restoreImage, thinLs } from '../../helpers/metadata/image.js'
import { collect } from '../../helpers/metadata/collect.js'
import { thinDelta, thinDump } from '../../helpers/metadata/tools.js'
import { randomPool, type XmlPool } from '../../helpers/metadata/xml.js'
import { seeded } from '../../helpers/random/random.js'
import { seeds } from '../../helpers/random/sample.js'

const directory = imageDirectory()
afterAll(() => directory.remove())

/** Compares all volumes and all pairs, and expects the file to stay as it is. */
async function compare(name: string, pool: XmlPool, blocks?: number): Promise<void> {
  const file = directory.path(name)
  restoreImage(file, pool, blocks)
  const before = fileHash(file)
  const metadata = await ThinMetadata.open(file)
  try {
    const dump = thinDump(file)
    const ids = (await metadata.devices()).map(({ id }) => id)
    expect(ids).toEqual([...dump.keys()])
    for (const id of ids) expect(await collect(metadata.mappings(id))).toEqual(dump.get(id))
    for (const left of ids) {
      for (const right of ids) {
        const all = thinDelta(file, left, right)
        expect(await collect(metadata.delta(left, right, { same: true }))).toEqual(all)
        expect(await collect(metadata.delta(left, right))).toEqual(all.filter(({ type }) => type !== 'same'))
      }
    }
  } finally {
    await metadata.close()
  }
  expect(fileHash(file)).toBe(before)
}

test('volumes without mappings have no differences', async () => {
  await compare('empty', { dataBlocks: 100, thins: [0, 7].map(id => ({ id, parts: [] })) })
})

test('trees of different heights are compared', async () => {
  const thins = [
    { id: 1, parts: [{ virtual: 100, data: 0, length: 3 }] },
    { id: 2, parts: [{ virtual: 0, data: 10, length: 400 }] },
    { id: 3, parts: [{ virtual: 50, data: 1000, length: 70000 }] },
    { id: 4, parts: [] },
  ]
  await compare('heights', { dataBlocks: 80000, thins })
})

test('shared leaves are the same', async () => {
  const shared = { base: [{ virtual: 0, data: 0, length: 2000 }] }
  const thins = [
    { id: 1, parts: ['base', { virtual: 3000, data: 5000, length: 10 }] },
    { id: 2, parts: ['base'] },
    { id: 3, parts: [{ virtual: 500, data: 6000, length: 100 }] },
  ]
  await compare('shared', { dataBlocks: 10000, shared, thins })
})

test.each(seeds({ usual: 2, full: 30 }))('random pool %i has the mappings and differences of the tools', async seed => {
  await compare(`random-${seed}`, randomPool(seeded(seed), { thins: 5, slots: 8, slotBlocks: 900 }))
})

test('a pool of a million mappings has the mappings, differences and usage of the tools', async () => {
  const pool = randomPool(seeded(16), { thins: 2, slots: 100, slotBlocks: 9000 })
  await compare('million', pool, 8192)
  const metadata = await ThinMetadata.open(directory.path('million'))
  const usage = await metadata.usage()
  await metadata.close()
  expect(usage.reduce((sum, { mappedBlocks }) => sum + mappedBlocks, 0)).toBeGreaterThan(1_000_000)
  expect(usage).toEqual(thinLs(directory.path('million')))
})
