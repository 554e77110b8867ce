// 1 000 walks of volumes that nobody writes, without a metadata snapshot, while 32 others are written, snapshotted and
// deleted: none reads anything but what was there. Every fiftieth walk is compared with one of a metadata snapshot too.
import { alignedBuffer, BlockDevice, MiB, type ThinPool, type ThinVolume } from '../../lib/entry/index.js'
import { ThinMetadata } from '../../lib/entry/metadata.js'
import { BLOCK } from '../helpers/kernel/blocks.js'
import { useScratch } from '../helpers/kernel/scratch.js'
import { keepFigures, range } from '../helpers/long/report.js'
import { collect } from '../helpers/metadata/collect.js'
import { withPool } from '../helpers/pool/pools.js'
import { type Random, seeded } from '../helpers/random/random.js'

useScratch()

const WALKS = 1000
const WRITERS = 32
const BLOCKS = 1024
/** The blocks that are written again and again: more of them would fill the memory of the guest with data. */
const CHURNED = 96

async function write(volume: ThinVolume, blocks: readonly number[]): Promise<void> {
  const device = await BlockDevice.open(volume.path)
  const page = alignedBuffer(4096)
  for (const block of blocks) await device.write(block * BLOCK, page)
  await device.close()
}

/** Writes, discards, snapshots and deletes until `isOver`. Returns the number of its rounds. */
async function churn(pool: ThinPool, origin: ThinVolume, random: Random, isOver: () => boolean): Promise<number> {
  const volume = await origin.snapshot({ activate: true })
  let rounds = 0
  for (; !isOver(); rounds++) {
    await write(volume, [random.below(CHURNED), random.below(CHURNED)])
    if (random.chance(20)) {
      const device = await BlockDevice.open(volume.path)
      await device.discard({ offsetBytes: random.below(CHURNED) * BLOCK, lengthBytes: BLOCK })
      await device.close()
    }
    const snapshot = await volume.snapshot()
    if (random.chance(30)) await pool.commit()
    await snapshot.delete()
  }
  await volume.destroy()
  return rounds
}

test(`${WALKS} walks while ${WRITERS} volumes are written, snapshotted and deleted find the same differences`, async () => {
  const options = { dataBytes: 1024 * MiB, metadataBytes: 16 * MiB, skipBlockZeroing: true }
  await withPool(options, async pool => {
    const origin = await (await pool.createVolume({ sizeBytes: BLOCKS * BLOCK })).activate()
    await write(origin, range(BLOCKS, 2))
    const first = await origin.snapshot()
    await write(origin, range(BLOCKS, 7))
    const second = await origin.snapshot()
    const live = await ThinMetadata.open(pool, { reserve: false })
    const [delta, mappings] = [await collect(live.delta(first.id, second.id)), await collect(live.mappings(second.id))]
    expect(delta.length).toBeGreaterThan(100)

    let isOver = false
    const writers = range(WRITERS).map(seed => churn(pool, origin, seeded(seed), () => isOver))
    for (const walk of range(WALKS)) {
      if (walk % 2 === 0) expect(await collect(live.delta(first.id, second.id))).toEqual(delta)
      else expect(await collect(live.mappings(second.id))).toEqual(mappings)
      if (walk % 50 > 0) continue
      const reserved = await ThinMetadata.open(pool)
      expect(await collect(reserved.delta(first.id, second.id))).toEqual(delta)
      await reserved.close()
    }
    isOver = true
    const rounds = await Promise.all(writers)
    await live.close()
    expect(Math.min(...rounds)).toBeGreaterThan(0)
    keepFigures('metadata-readers', [{ walks: WALKS, rounds: rounds.reduce((sum, each) => sum + each) }])
  })
})
