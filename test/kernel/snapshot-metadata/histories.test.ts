// Random histories of a volume, its snapshots and snapshots of these: each pair of snapshots is asked for, the target is rebuilt
// from the base and the entries, and the entries are compared with thin_delta and thin_dump. The seed is in the title.
import { alignedBuffer, BlockDevice, MiB, type ThinPool, type ThinVolume } from '../../../lib/entry/index.js'
import { ThinMetadata } from '../../../lib/entry/metadata.js'
import { poolSnapshots, snapshotId } from '../../../lib/entry/snapshot-metadata.js'
import { BLOCK } from '../../helpers/kernel/blocks.js'
import { dmTable } from '../../helpers/kernel/dmsetup.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { thinDelta, thinDump } from '../../helpers/metadata/tools.js'
import { withPool } from '../../helpers/pool/pools.js'
import { type Random, seeded } from '../../helpers/random/random.js'
import { seeds } from '../../helpers/random/sample.js'
import { blocksIn } from '../../helpers/snapshot-metadata/client.js'
import { serving } from '../../helpers/snapshot-metadata/serving.js'
import { contentOf, rebuilt } from '../../helpers/snapshot-metadata/verify.js'

const scratch = useScratch()

const BLOCKS = 96
const SIZE = BLOCKS * BLOCK
const PAGE = 4096

/** Writes pages at random places, some of them twice, and discards blocks. */
async function change(volume: ThinVolume, random: Random): Promise<void> {
  const device = await BlockDevice.open(volume.path)
  const page = alignedBuffer(PAGE)
  for (let steps = 1 + random.below(8); steps > 0; steps--) {
    const block = random.below(BLOCKS)
    const length = Math.min(BLOCKS - block, 1 + random.below(random.chance(30) ? 20 : 3))
    if (random.chance(35)) await device.discard({ offsetBytes: block * BLOCK, lengthBytes: length * BLOCK })
    else {
      for (let at = block; at < block + length; at++) {
        page.fill(random.below(256))
        await device.write(at * BLOCK + random.below(BLOCK / PAGE) * PAGE, page)
      }
    }
  }
  await device.close()
}

/** Returns frozen snapshots of a volume, of its snapshots, and of writable snapshots, and a volume that is still written. */
async function history(pool: ThinPool, random: Random): Promise<{ writable: ThinVolume[]; frozen: ThinVolume[] }> {
  const origin = await (await pool.createVolume({ sizeBytes: SIZE })).activate()
  const writable = [origin]
  const frozen: ThinVolume[] = []
  await change(origin, random)
  while (frozen.length < 5) {
    const volume = random.pick(writable)
    await change(volume, random)
    frozen.push(await (random.chance(25) && frozen.length > 0 ? random.pick(frozen) : volume).snapshot())
    if (random.chance(30) && writable.length < 3) {
      writable.push(await random.pick(frozen).snapshot({ activate: true }))
    }
  }
  return { writable, frozen }
}

const blocksOf = (ranges: readonly { begin: number; length: number }[]): number[] =>
  ranges.flatMap(({ begin, length }) => Array.from({ length }, (_, at) => begin + at))

test.each(seeds({ usual: 2, full: 12 }))('the history of seed %i', async seed => {
  const random = seeded(seed)
  const options = {
    record: scratch.path(`record-${seed}.json`),
    dataBytes: 256 * MiB,
    skipBlockZeroing: seed % 2 === 0,
  }
  await withPool(options, async (pool, { name }) => {
    const { writable, frozen } = await history(pool, random)
    const contents = new Map<number, Buffer>()
    for (const volume of frozen) contents.set(volume.id, await contentOf(volume))
    await serving({ snapshots: poolSnapshots(pool), fixedLength: seed % 3 === 0 }, async ({ client }) => {
      const file = `/dev/loop${dmTable(name).split(' ')[3]!.slice(2)}`
      for (const target of frozen) {
        const targetId = await snapshotId(pool, target)
        const content = contents.get(target.id)!
        const allocated = await client.entries(undefined, targetId)
        expect(rebuilt(undefined, content, allocated).equals(content)).toBe(true)
        const lease = await ThinMetadata.open(pool)
        const dump = thinDump(file, ['--metadata-snap'])
        const deltas = frozen.map(base => thinDelta(file, base.id, target.id, ['--metadata-snap']))
        await lease.close()
        expect(blocksIn(allocated, BLOCK)).toEqual(blocksOf(dump.get(target.id)!))
        for (const [at, base] of frozen.entries()) {
          const baseId = await snapshotId(pool, base)
          const entries = await client.entries(baseId, targetId)
          const wanted = blocksOf(deltas[at]!.filter(({ type }) => type !== 'same'))
          expect({ base: baseId, target: targetId, blocks: blocksIn(entries, BLOCK) }).toEqual({
            base: baseId,
            target: targetId,
            blocks: wanted,
          })
          expect(rebuilt(contents.get(base.id), content, entries).equals(content)).toBe(true)
          if (at % 3 === 0) expect(await client.entriesWithRestarts(baseId, targetId, 3)).toEqual(entries)
        }
        // Snapshots keep what they have while others are written.
        for (const volume of writable) await change(volume, random)
      }
    })
  })
})
