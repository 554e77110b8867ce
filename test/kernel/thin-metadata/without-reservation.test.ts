// `reserve: false`: volumes that nobody writes are read from a running pool, while others change, without a metadata snapshot.
import { alignedBuffer, BlockDevice, MiB, type ThinPool, type ThinVolume } from '../../../lib/entry/index.js'
import { ThinMetadata } from '../../../lib/entry/metadata.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { BLOCK } from '../../helpers/kernel/blocks.js'
import { dmMessage, dmStatus, dmTable } from '../../helpers/kernel/dmsetup.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { collect } from '../../helpers/metadata/collect.js'
import { thinDelta } from '../../helpers/metadata/tools.js'
import { withPool } from '../../helpers/pool/pools.js'
import { seeded } from '../../helpers/random/random.js'

const scratch = useScratch()
const OPTIONS = { dataBytes: 1024 * MiB, metadataBytes: 8 * MiB, skipBlockZeroing: true }

const rootBy = (name: string): string => dmStatus(name).split(' ')[6]!

/** Writes the first page of each of these blocks. */
async function write(volume: ThinVolume, blocks: readonly number[]): Promise<void> {
  const device = await BlockDevice.open(volume.path)
  const page = alignedBuffer(4096)
  for (const block of blocks) await device.write(block * BLOCK, page)
  await device.close()
}

const every = (step: number, count: number): number[] => Array.from({ length: count }, (_, i) => i * step)

/** Creates two inactive snapshots of an active origin, and the ranges that differ between them. */
async function twoSnapshots(pool: ThinPool, name: string) {
  const origin = await (await pool.createVolume({ sizeBytes: 2048 * BLOCK })).activate()
  await write(origin, every(3, 600))
  const first = await origin.snapshot()
  await write(origin, every(11, 150))
  const second = await origin.snapshot()
  const metadata = await ThinMetadata.open(pool)
  const file = `/dev/loop${dmTable(name).split(' ')[3]!.slice(2)}`
  const expected = thinDelta(file, first.id, second.id, ['--metadata-snap']).filter(({ type }) => type !== 'same')
  await metadata.close()
  expect(expected.length).toBeGreaterThan(100)
  return { origin, first, second, expected }
}

test('the delta stays the same while the origin is written, snapshotted and its snapshots are deleted', async () => {
  await withPool(OPTIONS, async (pool, { name }) => {
    const { origin, first, second, expected } = await twoSnapshots(pool, name)
    const random = seeded(3)
    let running = true
    const churn = async () => {
      while (running) {
        await write(origin, [random.below(2048), random.below(2048), random.below(2048)])
        const other = await origin.snapshot()
        await write(origin, [random.below(2048)])
        await pool.commit()
        await other.delete()
      }
    }
    const churning = churn()
    await using metadata = await ThinMetadata.open(pool, { reserve: false })
    await using another = await ThinMetadata.open(pool, { reserve: false })
    expect(rootBy(name)).toBe('-')
    for (let round = 0; round < 25; round++) {
      const walks = [metadata, another].map(each => collect(each.delta(first.id, second.id)))
      for (const ranges of await Promise.all(walks)) expect(ranges).toEqual(expected)
      const ids = (await metadata.devices()).map(({ id }) => id)
      expect(ids).toEqual(expect.arrayContaining([origin.id, first.id, second.id]))
    }
    running = false
    await churning
    await metadata.close()
    await another.close()
  })
})

test('a volume that is active for writing is refused, one that is active as read-only is not', async () => {
  await withPool(OPTIONS, async (pool, { name }) => {
    const { origin, first, second, expected } = await twoSnapshots(pool, name)
    await using metadata = await ThinMetadata.open(pool, { reserve: false })
    const fault = await expectCode(collect(metadata.delta(first.id, origin.id)), 'DM_VOLUME_ACTIVE')
    expect(fault).toMatchObject({ device: origin.name })
    await first.activate({ readOnly: true })
    await second.activate({ readOnly: true })
    expect(await collect(metadata.delta(first.id, second.id))).toEqual(expected)
    await metadata.close()
  })
})

test.each<[string, (volume: ThinVolume, pool: ThinPool) => Promise<void>]>([
  [
    'written',
    async (volume, pool) => {
      await volume.activate()
      await write(volume, [1])
      await volume.deactivate()
      // Until then, the metadata that is read is that before the write.
      await pool.commit()
    },
  ],
  [
    'written in place and left active',
    async volume => {
      await volume.activate()
      await write(volume, [0])
    },
  ],
  ['deleted', volume => volume.delete()],
  [
    'deleted and created anew',
    async (volume, pool) => {
      await volume.delete()
      await pool.createVolume({ id: volume.id, sizeBytes: MiB })
    },
  ],
])('a volume that is %s during the iteration ends it', async (_, change) => {
  await withPool(OPTIONS, async pool => {
    // More ranges than one native call returns.
    const volume = await (await pool.createVolume({ sizeBytes: 9000 * BLOCK })).activate()
    await write(volume, every(2, 4300))
    await volume.deactivate()
    await using metadata = await ThinMetadata.open(pool, { reserve: false })
    const walk = metadata.mappings(volume.id)
    expect((await walk.next()).value).toMatchObject({ begin: 0, length: 1 })
    await change(volume, pool)
    await expect(collect(walk)).rejects.toMatchObject({
      code: expect.stringMatching(/^DM_(METADATA_BUSY|VOLUME_ACTIVE)$/) as string,
    })
    await metadata.close()
  })
})

test('a metadata snapshot of another program does not matter, and is left alone', async () => {
  scratch.log.allow(/device-mapper: thin( metadata)?: /)
  await withPool(OPTIONS, async (pool, { name }) => {
    const { first, second, expected } = await twoSnapshots(pool, name)
    dmMessage(name, 'reserve_metadata_snap')
    const theirs = rootBy(name)
    await using metadata = await ThinMetadata.open(pool, { reserve: false })
    expect(await collect(metadata.delta(first.id, second.id))).toEqual(expected)
    await metadata.close()
    expect(rootBy(name)).toBe(theirs)
    dmMessage(name, 'release_metadata_snap')
  })
})

test('calls that read all volumes are refused', async () => {
  await withPool(async pool => {
    await using metadata = await ThinMetadata.open(pool, { reserve: false })
    expect(await metadata.devices()).toEqual([])
    await expectCode(metadata.usage(), 'DM_UNSUPPORTED')
    await expectCode(metadata.check(), 'DM_UNSUPPORTED')
    await expectCode(collect(metadata.dump()), 'DM_UNSUPPORTED')
    await expectCode(collect(metadata.mappings(3)), 'DM_VOLUME_NOT_FOUND')
    await expectCode(ThinMetadata.open(pool, { metadataSnapshot: true }), 'DM_INVALID_ARGUMENT')
    await metadata.close()
  })
})
