// usage(), check() and dump(): against thin_ls, thin_restore and thin_dump, and on metadata that is damaged on purpose.
import { writeFileSync } from 'node:fs'
import { ThinMetadata } from '../../../lib/pool/thin-metadata.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { collect } from '../../helpers/metadata/collect.js'
import { imageDirectory, MetadataImage, restoreImage, thinLs } from '../../helpers/metadata/image.js'
import { thinDump } from '../../helpers/metadata/tools.js'
import { randomPool } from '../../helpers/metadata/xml.js'
import { run } from '../../helpers/process/spawned.js'
import { seeded } from '../../helpers/random/random.js'

const directory = imageDirectory()
let file: string
beforeAll(() => {
  file = directory.path('pool')
  const shared = { base: [{ virtual: 0, data: 0, length: 3000 }] }
  const own = (id: number) => ({ virtual: 5000, data: id * 5000, length: 1000 })
  const thins = [1, 2, 3].map(id => ({ id, parts: ['base', own(id)] }))
  restoreImage(file, { dataBlocks: 40_000, shared, thins })
})
afterAll(() => directory.remove())

async function reading<T>(path: string, body: (metadata: ThinMetadata) => Promise<T>): Promise<T> {
  const metadata = await ThinMetadata.open(path)
  try {
    return await body(metadata)
  } finally {
    await metadata.close()
  }
}

/** Writes a changed copy. */
function damaged(change: (image: MetadataImage) => void): string {
  const image = new MetadataImage(file)
  change(image)
  const path = directory.path('damaged')
  writeFileSync(path, image.bytes)
  return path
}

const findingsOf = (path: string) => reading(path, metadata => metadata.check())

test.each([1, 2, 3])(
  'random pool %i: usage is that of thin_ls, the dump restores the same, check finds nothing',
  async seed => {
    const pool = randomPool(seeded(seed), { thins: 8, slots: 8, slotBlocks: 900 })
    const path = directory.path(`random-${seed}`)
    restoreImage(path, pool)
    await reading(path, async metadata => {
      expect(await metadata.usage()).toEqual(thinLs(path))
      const text = (await collect(metadata.dump())).join('')
      const [xml, again] = [directory.path('dump.xml'), directory.path('again')]
      writeFileSync(xml, text)
      writeFileSync(again, Buffer.alloc(2048 * 4096))
      run('thin_restore', ['--quiet', '-i', xml, '-o', again])
      expect(thinDump(again)).toEqual(thinDump(path))
      expect(thinLs(again).map(({ id, mappedBlocks }) => [id, mappedBlocks])).toEqual(
        thinLs(path).map(({ id, mappedBlocks }) => [id, mappedBlocks]),
      )
      expect(run('thin_dump', [again]).split('\n')[0]).toBe(run('thin_dump', [path]).split('\n')[0])
      // A pool that maps one data block twice in the XML has counts that no kernel would have, but the totals agree.
      expect(await metadata.check()).toEqual([])
    })
  },
)

test('a pool without volumes has an empty dump, and no findings', async () => {
  const path = directory.path('empty')
  restoreImage(path, { dataBlocks: 100, thins: [] })
  await reading(path, async metadata => {
    expect(await metadata.usage()).toEqual([])
    expect(await metadata.check()).toEqual([])
    expect(await collect(metadata.dump())).toEqual([`${run('thin_dump', [path])}\n`])
  })
})

test('a corrupt leaf of one volume is found in that volume', async () => {
  let block = 0
  const path = damaged(image => {
    const root = image.node(image.mappingRoot(1))
    block = root.blockNumber(root.count - 1)
    image.block(block)[99]! ^= 1
  })
  const findings = await findingsOf(path)
  expect(findings.map(({ kind, volume, block }) => ({ kind, volume, block }))).toEqual([
    { kind: 'corrupt', volume: undefined, block },
    { kind: 'corrupt', volume: 2, block },
  ])
  await reading(path, async metadata => {
    expect(await expectCode(metadata.usage(), 'DM_METADATA_CORRUPT')).toMatchObject({ block })
    expect(await collect(metadata.mappings(1))).toHaveLength(2)
  })
})

test('a corrupt leaf that all volumes share is found in each of them', async () => {
  const path = damaged(image => {
    const shared = image.node(image.mappingRoot(0)).blockNumber(2)
    image.block(shared)[99]! ^= 1
  })
  expect((await findingsOf(path)).map(({ volume }) => volume)).toEqual([undefined, 1, 2, 3])
})

test('a corrupt tree of volumes is found, and what can be read beside it is checked', async () => {
  const details = damaged(image => void (image.block(image.superblock.deviceDetailsRoot)[99]! ^= 1))
  expect(await findingsOf(details)).toMatchObject([{ kind: 'corrupt', volume: undefined }])
  const top = damaged(image => void (image.block(image.superblock.dataMappingRoot)[99]! ^= 1))
  expect(await findingsOf(top)).toMatchObject([{ kind: 'corrupt', volume: undefined }])
})

test('wrong counts are found', async () => {
  const path = damaged(image => {
    const { deviceDetailsRoot } = image.superblock
    const node = image.node(deviceDetailsRoot, 24)
    image.view(deviceDetailsRoot).setBigUint64(node.valueOffset(2), 4001n, true)
    image.seal(deviceDetailsRoot)
    image.view(0).setBigUint64(64 + 8, 5999n, true)
    image.seal(0)
  })
  expect(await findingsOf(path)).toEqual([
    { kind: 'count', volume: 3, block: undefined, detail: 'volume 3 has 4000 mappings, its details say 4001' },
    {
      kind: 'count',
      volume: undefined,
      block: undefined,
      detail: '6000 data blocks are mapped, the space map has allocated 5999',
    },
  ])
})

test('a volume in one tree only is found', async () => {
  const path = damaged(image => {
    const { deviceDetailsRoot } = image.superblock
    image.view(deviceDetailsRoot).setBigUint64(32 + 8 * 2, 7n, true)
    image.seal(deviceDetailsRoot)
  })
  const findings = await findingsOf(path)
  expect(findings.filter(({ kind }) => kind === 'volumes').map(({ volume }) => volume)).toEqual([7, 3])
  await reading(path, metadata => expectCode(metadata.usage(), 'DM_METADATA_CORRUPT'))
})

test('sizes that the metadata cannot have are corrupt before memory is taken for them', async () => {
  const path = damaged(image => {
    image.view(0).setBigUint64(64, 2n ** 39n, true)
    image.seal(0)
  })
  await reading(path, async metadata => {
    expect(await expectCode(metadata.usage(), 'DM_METADATA_CORRUPT')).toMatchObject({ block: 0 })
  })
  expect(await findingsOf(path)).toMatchObject([{ kind: 'corrupt', block: 0 }])
})

test('a node on two levels, and one with keys that its second parent does not expect, are corrupt', async () => {
  const levels = damaged(image => {
    const [first, second] = [image.mappingRoot(0), image.mappingRoot(1)]
    image.setValue(image.superblock.dataMappingRoot, 0, image.node(first).blockNumber(0))
    expect(second).not.toBe(first)
    image.setValue(second, 0, first)
  })
  await reading(levels, metadata => expectCode(metadata.usage(), 'DM_METADATA_CORRUPT'))
  const keys = damaged(image => {
    const last = image.node(image.mappingRoot(0)).count - 1
    image.setValue(image.mappingRoot(1), last, image.node(image.mappingRoot(0)).blockNumber(0))
  })
  await reading(keys, metadata => expectCode(metadata.usage(), 'DM_METADATA_CORRUPT'))
})
