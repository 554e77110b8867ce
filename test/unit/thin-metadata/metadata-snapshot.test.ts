// The metadata snapshot in an image: read like thin_dump --metadata-snap, refused if it is damaged.
import { writeFileSync } from 'node:fs'
import { ThinMetadata } from '../../../lib/pool/thin-metadata.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { collect } from '../../helpers/metadata/collect.js'
import { CopyOnWrite } from '../../helpers/metadata/copy-on-write.js'
import { imageDirectory, MetadataImage, restoreImage } from '../../helpers/metadata/image.js'
import { thinDelta, thinDump } from '../../helpers/metadata/tools.js'
import { blockChecksum, CHECKSUM_SALT } from '../../../lib/metadata/crc32c.js'

const HELD = 600
const FREE = 700
const directory = imageDirectory()
let intact: MetadataImage

/** Makes a block a superblock again that has been changed. */
function sealSuperblock(image: MetadataImage, block: number): void {
  image.view(block).setUint32(0, blockChecksum(image.block(block), CHECKSUM_SALT.superblock), true)
}

beforeAll(() => {
  const file = directory.path('pool')
  const thins = [1, 2].map(id => ({ id, parts: [{ virtual: 0, data: id * 1000, length: 700 }] }))
  restoreImage(file, { dataBlocks: 5000, thins })
  intact = new MetadataImage(file)
  // As the kernel leaves it: a copy of the superblock without space maps. The present state has moved on since.
  intact.block(HELD).set(intact.block(0))
  intact.view(HELD).setBigUint64(8, BigInt(HELD), true)
  intact.block(HELD).fill(0, 64, 320)
  sealSuperblock(intact, HELD)
  const top = FREE
  intact.block(top).set(intact.block(intact.superblock.dataMappingRoot))
  intact.view(top).setBigUint64(8, BigInt(top), true)
  intact.seal(top)
  intact.setValue(top, 0, new CopyOnWrite(intact, FREE + 1).remap(intact.mappingRoot(0), 5, 4000))
  intact.view(0).setBigUint64(320, BigInt(top), true)
  intact.view(0).setBigUint64(56, BigInt(HELD), true)
  intact.seal(0)
})
afterAll(() => directory.remove())

function written(change: (image: MetadataImage) => void = () => {}): string {
  const image = new MetadataImage(intact.bytes)
  change(image)
  const file = directory.path('image')
  writeFileSync(file, image.bytes)
  return file
}

test('the metadata snapshot and the present state are two states', async () => {
  const file = written()
  const held = await ThinMetadata.open(file, { metadataSnapshot: true })
  const now = await ThinMetadata.open(file)
  const options = ['--metadata-snap']
  expect(thinDump(file, options)).not.toEqual(thinDump(file))
  for (const id of [1, 2]) {
    expect(await collect(held.mappings(id))).toEqual(thinDump(file, options).get(id))
    expect(await collect(now.mappings(id))).toEqual(thinDump(file).get(id))
  }
  expect(await collect(held.delta(1, 2, { same: true }))).toEqual(thinDelta(file, 1, 2, options))
  expect(held.superblock).toMatchObject({ metadataSnapshotBlock: 0, dataSpaceMap: { blocks: 5000 } })
  expect(now.superblock).toMatchObject({ metadataSnapshotBlock: HELD })
  expect(await held.check()).toEqual([])
  await held.close()
  await now.close()
})

test('the metadata snapshot is read on while the present state changes, until another one is held', async () => {
  const file = written()
  const held = await ThinMetadata.open(file, { metadataSnapshot: true })
  const atRest = await ThinMetadata.open(file)
  written(image => {
    image.view(0).setUint32(44, 7, true)
    image.seal(0)
  })
  expect(await collect(held.mappings(1))).toHaveLength(1)
  await expectCode(collect(atRest.mappings(1)), 'DM_METADATA_BUSY')
  written(image => {
    image.view(0).setBigUint64(56, 0n, true)
    image.seal(0)
  })
  await expectCode(held.devices(), 'DM_METADATA_BUSY')
  await held.close()
  await atRest.close()
})

test.each<[string, (image: MetadataImage) => void, number]>([
  ['with a flipped bit', image => void (image.block(HELD)[330]! ^= 1), HELD],
  [
    'that was written for another place',
    image => {
      image.view(HELD).setBigUint64(8, 3n, true)
      sealSuperblock(image, HELD)
    },
    HELD,
  ],
  [
    'that is a node of a tree',
    image => {
      image.view(0).setBigUint64(56, BigInt(FREE), true)
      image.seal(0)
    },
    FREE,
  ],
  [
    'past the end of the metadata',
    image => {
      image.view(0).setBigUint64(56, 5000n, true)
      image.seal(0)
    },
    0,
  ],
])('a metadata snapshot %s is corrupt', async (_, change, block) => {
  const fault = await expectCode(ThinMetadata.open(written(change), { metadataSnapshot: true }), 'DM_METADATA_CORRUPT')
  expect(fault).toMatchObject({ block })
})
