// Metadata of running pools: thin_delta and thin_dump read the same metadata snapshot as an independent check.
import { MiB, ThinPool, type ThinVolume } from '../../../lib/entry/index.js'
import { ThinMetadata } from '../../../lib/entry/metadata.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { BLOCK, pattern, readAt, writeBlock } from '../../helpers/kernel/blocks.js'
import { dmMessage, dmStatus, dmTable } from '../../helpers/kernel/dmsetup.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { collect } from '../../helpers/metadata/collect.js'
import { thinDelta, thinDump } from '../../helpers/metadata/tools.js'
import { withPool } from '../../helpers/pool/pools.js'
import { startChild } from '../../helpers/process/children.js'
import { seeded } from '../../helpers/random/random.js'

const scratch = useScratch()
const BLOCKS = 32
const SNAPSHOT = ['--metadata-snap']

const rootBy = (name: string): string => dmStatus(name).split(' ')[6]!
const metadataOf = (name: string): string => `/dev/loop${dmTable(name).split(' ')[3]!.slice(2)}`
const activated = async (pool: ThinPool): Promise<ThinVolume> =>
  (await pool.createVolume({ sizeBytes: BLOCKS * BLOCK })).activate()

/** Writes some blocks at random, in runs. */
async function change(volume: ThinVolume, seed: number): Promise<void> {
  const random = seeded(seed)
  for (let run = 0; run < 3; run++) {
    const begin = random.below(BLOCKS)
    for (let block = begin; block < Math.min(BLOCKS, begin + 4); block++)
      await writeBlock(volume.path, block, seed + run)
  }
}

test('a running pool has the mappings and differences that the tools read, while it is written', async () => {
  await withPool(async (pool, { name }) => {
    const origin = await activated(pool)
    await change(origin, 1)
    const first = await origin.snapshot()
    await change(origin, 100)
    const second = await origin.snapshot()
    const ids = [origin.id, first.id, second.id]
    await using metadata = await ThinMetadata.open(pool)
    await change(origin, 200)
    await (await origin.snapshot()).delete()
    const file = metadataOf(name)
    const dump = thinDump(file, SNAPSHOT)
    expect((await metadata.devices()).map(({ id }) => id)).toEqual(ids)
    for (const id of ids) expect(await collect(metadata.mappings(id))).toEqual(dump.get(id))
    for (const left of ids) {
      for (const right of ids) {
        const all = thinDelta(file, left, right, SNAPSHOT)
        expect(await collect(metadata.delta(left, right, { same: true }))).toEqual(all)
        expect(await collect(metadata.delta(left, right))).toEqual(all.filter(({ type }) => type !== 'same'))
      }
    }
    await metadata.close()
    expect(rootBy(name)).toBe('-')
    await expectCode(collect(metadata.mappings(origin.id)), 'DM_CLOSED')
  })
})

test('outside the delta of two snapshots, their contents are equal', async () => {
  await withPool(async pool => {
    const origin = await activated(pool)
    await change(origin, 7)
    const first = await origin.snapshot({ activate: true })
    await change(origin, 70)
    const second = await origin.snapshot({ activate: true })
    await using metadata = await ThinMetadata.open(pool)
    const changed = new Set<number>()
    for await (const { begin, length } of metadata.delta(first.id, second.id)) {
      for (let block = begin; block < begin + length; block++) changed.add(block)
    }
    expect(changed.size).toBeGreaterThan(0)
    const [before, after] = [await readAt(first.path, 0, BLOCKS * BLOCK), await readAt(second.path, 0, BLOCKS * BLOCK)]
    for (let block = 0; block < BLOCKS; block++) {
      const at = [block * BLOCK, (block + 1) * BLOCK] as const
      const equal = before.subarray(...at).equals(after.subarray(...at))
      expect({ block, equal }).toEqual({ block, equal: !changed.has(block) })
    }
  })
})

test('`withData` names the data blocks, which have the content of the volumes', async () => {
  await withPool(async (pool, { dataFile }) => {
    const origin = await activated(pool)
    for (const block of [0, 1, 5]) await writeBlock(origin.path, block, 300 + block)
    const first = await origin.snapshot()
    for (const block of [1, 9]) await writeBlock(origin.path, block, 400 + block)
    await using metadata = await ThinMetadata.open(pool)
    const ranges = await collect(metadata.delta(first.id, origin.id, { withData: true }))
    expect(ranges).toMatchObject([
      { type: 'different', begin: 1, length: 1 },
      { type: 'rightOnly', begin: 9, length: 1 },
    ])
    const contentOf = (data: number | undefined) => readAt(dataFile, data! * BLOCK, BLOCK)
    await pool.commit()
    expect(await contentOf(ranges[0]!.leftData)).toEqual(pattern(301, BLOCK))
    expect(await contentOf(ranges[0]!.rightData)).toEqual(pattern(401, BLOCK))
    expect(await contentOf(ranges[1]!.rightData)).toEqual(pattern(409, BLOCK))
    expect(ranges[1]).not.toHaveProperty('leftData')
  })
})

test('a metadata snapshot of another program is read, and not released', async () => {
  scratch.log.allow(/device-mapper: thin( metadata)?: /)
  await withPool(async (pool, { name }) => {
    const volume = await activated(pool)
    await writeBlock(volume.path, 3, 1)
    const file = metadataOf(name)
    await expectCode(ThinMetadata.open(file), 'DM_BUSY')
    await expectCode(ThinMetadata.open(file, { metadataSnapshot: true }), 'DM_METADATA_SNAPSHOT_NOT_HELD')
    dmMessage(name, 'reserve_metadata_snap')
    const theirs = rootBy(name)
    await expectCode(ThinMetadata.open(pool), 'DM_METADATA_SNAPSHOT_HELD')
    await using metadata = await ThinMetadata.open(file, { metadataSnapshot: true })
    await writeBlock(volume.path, 4, 1)
    expect(await collect(metadata.mappings(volume.id))).toMatchObject([{ begin: 3, length: 1 }])
    expect(rootBy(name)).toBe(theirs)
    dmMessage(name, 'release_metadata_snap')
    await expectCode(collect(metadata.mappings(volume.id)), 'DM_METADATA_BUSY')
    await expectCode(metadata.devices(), 'DM_METADATA_BUSY')
  })
})

test('the metadata snapshot of a killed reader is released by the next one, and no other', async () => {
  scratch.log.allow(/device-mapper: thin( metadata)?: /)
  await withPool(async (pool, { name }) => {
    const child = startChild(`
      const { ThinMetadata } = require(process.cwd() + '/dist/entry/metadata.js')
      const pool = await dmThin.ThinPool.open(${JSON.stringify(name)})
      await ThinMetadata.open(pool)
      console.log('open')
      await new Promise(() => setInterval(() => {}, 1000))`)
    await child.saw('open')
    const left = rootBy(name)
    expect(left).not.toBe('-')
    // A reader that is alive is waited for.
    const waiting = new AbortController()
    const waits = ThinMetadata.open(pool, { signal: waiting.signal })
    waiting.abort()
    await expectCode(waits, 'ABORT_ERR')
    expect(rootBy(name)).toBe(left)
    child.process.kill('SIGKILL')
    await child.result.catch(() => {})
    await using metadata = await ThinMetadata.open(pool)
    expect(await metadata.devices()).toEqual([])
    await metadata.close()
    expect(rootBy(name)).toBe('-')
    // The record is of that metadata snapshot alone.
    dmMessage(name, 'reserve_metadata_snap')
    await expectCode(ThinMetadata.open(pool), 'DM_METADATA_SNAPSHOT_HELD')
    dmMessage(name, 'release_metadata_snap')
  })
})

test('a removed pool is not found, also if another pool has its devices', async () => {
  await withPool(async (pool, { reopen }) => {
    await pool.createVolume({ sizeBytes: MiB })
    const other = await ThinPool.open(reopen.name)
    await other.remove()
    await using again = await ThinPool.open(reopen)
    for (const reserve of [true, false]) await expectCode(ThinMetadata.open(pool, { reserve }), 'DM_NOT_FOUND')
    await using metadata = await ThinMetadata.open(again)
    expect(await metadata.devices()).toHaveLength(1)
    await metadata.close()
    await again.close()
  })
})

test('two readers of a pool follow one another', async () => {
  await withPool(async (pool, { name }) => {
    const first = await ThinMetadata.open(pool)
    const second = ThinMetadata.open(pool)
    await pool.createVolume({ sizeBytes: MiB })
    expect(await first.devices()).toEqual([])
    await first.close()
    expect(await (await second).devices()).toHaveLength(1)
    await (await second).close()
    expect(rootBy(name)).toBe('-')
  })
})

test('the file of a running pool is read until the pool commits', async () => {
  await withPool(async (pool, { metadataFile }) => {
    const volume = await activated(pool)
    await writeBlock(volume.path, 2, 1)
    await pool.commit()
    // The file of a running pool is not recognised as in use: the next commit makes the reader stop.
    await using metadata = await ThinMetadata.open(metadataFile)
    expect(await metadata.devices()).toHaveLength(1)
    await pool.createVolume({ sizeBytes: MiB })
    await expectCode(metadata.devices(), 'DM_METADATA_BUSY')
    await expectCode(collect(metadata.mappings(volume.id)), 'DM_METADATA_BUSY')
  })
})
