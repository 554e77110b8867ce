// Damaged and forged metadata: a typed error, after a number of reads that follows the size of the metadata.
import { writeFileSync } from 'node:fs'
import { DmThinError } from '../../../lib/base/errors.js'
import { thinUsage } from '../../../lib/metadata/reader.js'
import { ThinMetadata } from '../../../lib/pool/thin-metadata.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { collect } from '../../helpers/metadata/collect.js'
import { imageDirectory, MetadataImage, restoreImage } from '../../helpers/metadata/image.js'
import { memoryBlockSource } from '../../helpers/metadata/source.js'
import { seeded } from '../../helpers/random/random.js'
import { seeds } from '../../helpers/random/sample.js'

const BLOCKS = 512
const LEVELS = 12
const directory = imageDirectory()
let intact: MetadataImage

beforeAll(() => {
  const file = directory.path('pool')
  const thins = [1, 2].map(id => ({
    id,
    parts: [
      { virtual: 0, data: id * 10_000, length: 5000 },
      { virtual: 9000, data: 40_000, length: 100 },
    ],
  }))
  restoreImage(file, { dataBlocks: 50_000, thins: [...thins, { id: 3, parts: [] }] }, BLOCKS)
  intact = new MetadataImage(file)
})
afterAll(() => directory.remove())

/** Opens a changed copy of the metadata for `body`. */
async function reading<T>(
  change: (image: MetadataImage) => void,
  body: (metadata: ThinMetadata) => Promise<T>,
): Promise<T> {
  const image = new MetadataImage(intact.bytes)
  change(image)
  const file = directory.path('changed')
  writeFileSync(file, image.bytes)
  const metadata = await ThinMetadata.open(file)
  try {
    return await body(metadata)
  } finally {
    await metadata.close()
  }
}

const root = (): number => intact.mappingRoot(0)
const leaf = (index = 0): number => intact.node(root()).blockNumber(index)

/** Expects both walks to stop at this block with this fault. */
async function refused(change: (image: MetadataImage) => void, block: number, fault: RegExp): Promise<void> {
  await reading(change, async metadata => {
    for (const walk of [metadata.mappings(1), metadata.delta(1, 2), metadata.delta(3, 1)]) {
      const error = await expectCode(collect<unknown>(walk), 'DM_METADATA_CORRUPT')
      expect(error).toMatchObject({ block, message: expect.stringMatching(fault) as string })
    }
  })
}

const u32 = (image: MetadataImage, block: number, offset: number, value: number): void => {
  image.view(block).setUint32(offset, value, true)
  image.seal(block)
}
const key = (image: MetadataImage, block: number, index: number, value: bigint): void => {
  image.view(block).setBigUint64(32 + 8 * index, value, true)
  image.seal(block)
}

test.each<[string, () => number, (image: MetadataImage, block: number) => void, RegExp]>([
  ['a flipped bit in a root', root, (image, block) => void (image.block(block)[2000]! ^= 1), /checksum is/],
  ['a flipped bit in a leaf', leaf, (image, block) => void (image.block(block)[4095]! ^= 128), /checksum is/],
  ['a block of zeros', leaf, (image, block) => void image.block(block).fill(0), /checksum is/],
  [
    'a node of another place',
    leaf,
    (image, block) => {
      image.view(block).setBigUint64(8, BigInt(block + 1), true)
      image.seal(block)
    },
    /was written for block/,
  ],
  ['both kinds at once', leaf, (image, block) => u32(image, block, 4, 3), /flags 3/],
  ['no kind', leaf, (image, block) => u32(image, block, 4, 0), /flags 0/],
  ['values of 16 bytes', leaf, (image, block) => u32(image, block, 24, 16), /values of 16 bytes/],
  ['more room than the block has', leaf, (image, block) => u32(image, block, 20, 255), /room for 255 entries/],
  ['the most room of 32 bits', leaf, (image, block) => u32(image, block, 20, 2 ** 32 - 1), /does not fit a block/],
  ['more entries than room', leaf, (image, block) => u32(image, block, 16, 253), /253 entries/],
  ['an internal node without children', root, (image, block) => u32(image, block, 16, 0), /without children/],
  ['a leaf without entries', leaf, (image, block) => u32(image, block, 16, 0), /without entries/],
  ['an internal node in place of a leaf', () => leaf(1), (image, block) => u32(image, block, 4, 1), /points to block/],
  ['keys that do not ascend', leaf, (image, block) => key(image, block, 7, 6n), /key 7 is 6, after 6/],
  ['a key beyond all volumes', leaf, (image, block) => key(image, block, 251, 2n ** 63n), /key 251 is/],
  ['a key that belongs to the next leaf', leaf, (image, block) => key(image, block, 251, 300n), /its parent expects/],
  [
    'a key that belongs to the leaf before',
    () => leaf(1),
    (image, block) => key(image, block, 0, 3n),
    /parent expects/,
  ],
  [
    'a mapping past the end of the pool',
    leaf,
    (image, block) => image.setValue(block, 5, 50_000 * 2 ** 24),
    /to data block 50000 of 50000/,
  ],
  ['the superblock as a child', root, (image, block) => image.setValue(block, 0, 0), /points to block 0 of/],
  ['a child past the end', root, (image, block) => image.setValue(block, 1, BLOCKS), /points to block 512 of/],
])('%s is corrupt', async (_, place, change, fault) => {
  const block = place()
  await refused(image => change(image, block), block, fault)
})

test('a node that is its own child is corrupt', async () => {
  // The first child decides the height; any other one is reached once the walk is there.
  await refused(image => image.setValue(root(), 0, root()), root(), /more than 12 levels/)
  await refused(
    image => image.setValue(root(), 3, root()),
    root(),
    /internal tree node, but leaves are 0 levels further down/,
  )
})

test('one leaf as two children is corrupt', async () => {
  await refused(image => image.setValue(root(), 1, leaf()), leaf(), /its parent expects/)
})

test('a block of another tree is corrupt', async () => {
  const details = intact.superblock.deviceDetailsRoot
  await refused(image => image.setValue(root(), 2, details), details, /values of 24 bytes/)
  await refused(
    image => image.setValue(root(), 2, 0 + intact.superblock.metadataSpaceMap.bitmapRoot),
    intact.superblock.metadataSpaceMap.bitmapRoot,
    /checksum is/,
  )
})

test('a root outside the metadata is corrupt', async () => {
  const top = intact.superblock.dataMappingRoot
  await refused(image => image.setValue(top, 0, BLOCKS + 3), top, /points to block 515 of/)
})

/** What a changed image yields: the mappings counted in all volumes, or the code of the error. */
async function outcome(metadata: ThinMetadata): Promise<number | string> {
  let mapped = 0
  let nodes = 0
  const onProgress = (progress: { nodes: number }) => (nodes = progress.nodes)
  try {
    const ids = (await metadata.devices()).map(({ id }) => id)
    for (const id of ids) {
      for await (const { length } of metadata.mappings(id, { onProgress })) mapped += length
      expect(nodes).toBeLessThanOrEqual(BLOCKS * LEVELS)
      for await (const { begin, length } of metadata.delta(ids[0]!, id, { same: true, onProgress })) {
        expect(begin + length).toBeLessThanOrEqual(Number.MAX_SAFE_INTEGER)
      }
      expect(nodes).toBeLessThanOrEqual(2 * BLOCKS * LEVELS)
    }
    return mapped
  } catch (fault) {
    if (!(fault instanceof DmThinError)) throw fault
    return fault.code
  }
}

test.each(seeds({ usual: 2, full: 30 }))('metadata changed at random is read, or corrupt (seed %i)', async seed => {
  const random = seeded(seed)
  const found = { read: 0, corrupt: 0 }
  for (let round = 0; round < 60; round++) {
    let bytes: Uint8Array = new Uint8Array()
    const change = (image: MetadataImage) => {
      for (let i = 0; i <= random.below(3); i++) {
        const used = image.superblock.metadataSpaceMap.allocated
        const block = 1 + random.below(used - 1)
        // Small numbers at the places of the header and the entries are likelier to be believed.
        const offset = random.chance(30) ? 4 + 4 * random.below(7) : 32 + 8 * random.below(508)
        image.view(block).setUint32(offset, random.chance(50) ? random.below(BLOCKS) : random.below(2 ** 32), true)
        if (random.chance(20)) image.block(block).copyWithin(32, 32 + 8 * random.below(100))
        image.seal(block)
      }
      bytes = image.bytes
    }
    const mapped = await reading(change, outcome)
    const expected = await thinUsage(memoryBlockSource(bytes)).then(
      usage => usage.reduce((sum, { mappedBlocks }) => sum + mappedBlocks, 0),
      (fault: DmThinError) => fault.code,
    )
    // The reader in TypeScript, which works differently, comes to the same.
    expect({ seed, round, mapped }).toEqual({ seed, round, mapped: expected })
    found[typeof mapped === 'number' ? 'read' : 'corrupt']++
  }
  expect(found.read).toBeGreaterThan(0)
  expect(found.corrupt).toBeGreaterThan(0)
})
