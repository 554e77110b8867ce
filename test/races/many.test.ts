// Scenario                                                  Test
// K  1000 empty thins (here 100)                            a hundred volumes that are created …
// K  1000 snapshots of one, under one pause (here 100)      a hundred snapshots under one …
// K  create many, delete many                               a hundred volumes that are …
// C  two thins: ids differ; ids never given twice           ids that others used …
// K  duplicates                                             ids that others used in the …
// moby#5771 … serial creation                               all of them overlap (nothing here asserts a time)
import { MiB, ThinPool, volumesOf, type ThinVolume, type VolumeResult } from '../../lib/entry/index.js'
import { seedOf, writeBlock } from '../helpers/kernel/blocks.js'
import { expectCode } from '../helpers/errors/expect-code.js'
import { markedDevices, snapshotKernelState } from '../helpers/kernel/kernel-state.js'
import { withPool } from '../helpers/pool/pools.js'
import { useScratch } from '../helpers/kernel/scratch.js'
import { dmCreate, dmInfo, dmMessage, dmRemove, dmStatus, thinUsageBy } from '../helpers/kernel/dmsetup.js'

const scratch = useScratch()
const codes = (results: readonly VolumeResult<unknown>[]) =>
  results.map(result => (result.status === 'fulfilled' ? 'fulfilled' : result.reason.code))

test('a hundred volumes that are created concurrently have different ids, and are activated, queried and deleted', async () => {
  await withPool({ metadataBytes: 16 * MiB }, async (pool, { name }) => {
    const volumes = await Promise.all(Array.from({ length: 100 }, () => pool.createVolume({ sizeBytes: MiB })))
    expect(new Set(volumes.map(volume => volume.id)).size).toBe(100)
    const progress: number[] = []
    const onProgress = ({ done, total }: { done: number; total: number }) => progress.push(done, total)
    await pool.activateMany(volumes, { onProgress }).then(volumesOf)
    expect(progress.filter((_, at) => at % 2 === 0)).toEqual(Array.from({ length: 100 }, (_, at) => at + 1))
    expect(new Set(progress.filter((_, at) => at % 2 === 1))).toEqual(new Set([100]))
    expect(markedDevices().filter(device => device.attributes === 'L--w')).toHaveLength(101)

    await writeBlock(volumes[42]!.path, 3, 1)
    const statuses = await pool.statusMany(volumes)
    const mapped = statuses.map(each => (each.status === 'fulfilled' ? each.value.mappedBytes : -1))
    expect(mapped).toEqual(volumes.map((_, at) => (at === 42 ? 65536 : 0)))
    expect(dmStatus(volumes[42]!.name)).toBe('0 2048 thin 128 511')

    await pool.deactivateMany(volumes).then(volumesOf)
    expect(markedDevices().map(device => device.name)).toEqual([name])
    await Promise.all(volumes.map(volume => volume.delete()))
    expect(await pool.volumes()).toEqual([])
    expect((await pool.status()).data!.usedBlocks).toBe(0)
  })
})

test('a hundred snapshots under one suspend share the blocks of their origin until they are written', async () => {
  await withPool({ metadataBytes: 16 * MiB }, async (pool, { metadataFile }) => {
    const origin = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    await writeBlock(origin.path, 0, 1)
    const snapshots = volumesOf(await pool.snapshotMany(origin, 100))
    expect(snapshots.map(volume => volume.id)).toEqual(Array.from({ length: 100 }, (_, at) => at + 1))
    await writeBlock(origin.path, 0, 2)
    const some = snapshots.filter((_, at) => at % 25 === 0)
    await pool.activateMany(some).then(volumesOf)
    for (const [at, volume] of some.entries()) {
      expect(await seedOf(volume.path, 0, [1, 2])).toBe(1)
      await writeBlock(volume.path, 1, 10 + at)
    }
    for (const [at, volume] of some.entries()) expect(await seedOf(volume.path, 1, [10, 11, 12, 13])).toBe(10 + at)
    expect((await pool.status()).data!.usedBlocks).toBe(2 + 4)
    await pool.deactivateMany([origin, ...some])
    const usage = await pool.usage()
    await pool.remove()
    expect(usage).toEqual(thinUsageBy(metadataFile))
    expect(usage).toHaveLength(101)
  })
})

test('batch calls report a result for each volume, and an error of one does not affect the others', async () => {
  scratch.log.allow(/device-mapper: (thin|table|ioctl): /)
  await withPool(async pool => {
    const volumes = await Promise.all([0, 1, 2, 3].map(id => pool.createVolume({ sizeBytes: MiB, id })))
    const [, active, named, deleted] = volumes as [ThinVolume, ThinVolume, ThinVolume, ThinVolume]
    await active.activate()
    dmCreate(named.name, '0 8 zero')
    await deleted.delete()
    const activated = await pool.activateMany(volumes)
    expect(activated.map(result => result.volume)).toEqual(volumes)
    expect(codes(activated)).toEqual(['fulfilled', 'DM_ALREADY_ACTIVE', 'DM_NAME_TAKEN', 'DM_VOLUME_NOT_FOUND'])
    expect(() => volumesOf(activated)).toThrow(/active already/)
    expect(codes(await pool.statusMany(volumes))).toEqual(['fulfilled', 'fulfilled', 'DM_NOT_ACTIVE', 'DM_NOT_ACTIVE'])
    expect(codes(await pool.deactivateMany(volumes))).toEqual(Array(4).fill('fulfilled'))
    dmRemove(named.name)
    expect(markedDevices()).toHaveLength(1)
  })
})

test('activateMany rejects a volume that another program activated, and activates the others', async () => {
  await withPool(async (pool, { name }) => {
    const volumes = await Promise.all([0, 1, 2].map(id => pool.createVolume({ sizeBytes: MiB, id })))
    const foreign = `${name}-foreign`
    dmCreate(foreign, `0 2048 thin ${dmInfo(name)!.number} 1`)
    const activated = await pool.activateMany(volumes)
    expect(codes(activated)).toEqual(['fulfilled', 'DM_ALREADY_ACTIVE', 'fulfilled'])
    expect(activated[1]).toMatchObject({ reason: { detail: foreign } })
    dmRemove(foreign)
    expect(codes(await pool.activateMany(volumes))).toEqual(['DM_ALREADY_ACTIVE', 'fulfilled', 'DM_ALREADY_ACTIVE'])
    await pool.deactivateMany(volumes).then(volumesOf)
  })
})

test('a progress function that throws is called for each volume of several batches, and the call rejects with its first error', async () => {
  await withPool({ metadataBytes: 8 * MiB }, async pool => {
    const volumes = await Promise.all(Array.from({ length: 70 }, () => pool.createVolume({ sizeBytes: MiB })))
    await volumes[3]!.close()
    let heard = 0
    const onProgress = () => {
      heard += 1
      throw new Error(`at ${heard}`)
    }
    await expect(pool.activateMany(volumes, { onProgress })).rejects.toThrow(/^at 1$/)
    expect(heard).toBe(70)
    const names = markedDevices().map(device => device.name)
    expect(names).toHaveLength(70)
    expect(names).not.toContain(volumes[3]!.name)
    const aborted = await pool.deactivateMany(volumes, { signal: AbortSignal.abort() })
    expect(codes(aborted)).toEqual(volumes.map((_, at) => (at === 3 ? 'DM_CLOSED' : 'ABORT_ERR')))
    const open = volumes.filter((_, at) => at !== 3)
    const leaving = pool.deactivateMany(open)
    await open[0]!.close()
    expect(open[0]!.active).toBe(false) // close() waited for its share of the batch
    await leaving.then(volumesOf)
  })
})

test('batch calls accept an empty list, and reject volumes of other objects, other values and invalid counts', async () => {
  await withPool(async pool => {
    expect(await pool.activateMany([])).toEqual([])
    expect(await pool.statusMany([])).toEqual([])
    const volume = await pool.createVolume({ sizeBytes: MiB })
    const other = await ThinPool.open(pool.name)
    const foreign = await other.volume(0)
    const before = await snapshotKernelState()
    await expectCode(pool.activateMany([volume, foreign]), 'DM_INVALID_ARGUMENT')
    await expectCode(pool.deactivateMany([{} as ThinVolume]), 'DM_INVALID_ARGUMENT')
    await expectCode(pool.snapshotMany(foreign, 1), 'DM_INVALID_ARGUMENT')
    for (const count of [0, -1, 1.5, 2 ** 24]) {
      await expectCode(pool.snapshotMany(volume, count), 'DM_INVALID_ARGUMENT')
    }
    expect(await snapshotKernelState()).toBe(before)
    await other.close()
  })
})

test('ids that others used in the meantime are never assigned twice, by either of two pool objects', async () => {
  scratch.log.allow(/thin: (Creation|Deletion) of .* failed/)
  await withPool({ metadataBytes: 8 * MiB }, async (pool, { name }) => {
    const other = await ThinPool.open(name)
    const origin = await pool.createVolume({ sizeBytes: MiB })
    const rounds = Array.from({ length: 20 }, (_, at) => (at % 2 === 0 ? pool : other))
    const made = await Promise.all(rounds.map(each => each.createVolume({ sizeBytes: MiB })))
    dmMessage(name, 'create_thin 21')
    made.push(await other.createVolume({ sizeBytes: MiB }))
    const snapshots = volumesOf(await pool.snapshotMany(origin, 10))
    const ids = [origin, ...made, ...snapshots].map(volume => volume.id)
    expect(new Set(ids).size).toBe(ids.length)
    expect((await pool.volumes()).map(volume => volume.id)).toEqual([...ids, 21].sort((a, b) => a - b))
    await other.close()
  })
})
