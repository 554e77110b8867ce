// Scenario                                                  Test
// K  lots-of-empty-thins (1000)                             a thousand empty volumes are …
// K  lots-of-empty-snaps, many-snapshots-of-same-volume     a thousand snapshots of one volume …
// K  lots-of-recursive-snaps (1000), many-snaps-with-changes   a thousand snapshots of one another have the …
// K  create-many-delete-many, try-and-create-duplicates     a thousand empty volumes are …
// @udev both
import { MiB, type ThinPool, volumesOf } from '../../lib/entry/index.js'
import { BLOCK, seedOf, writeBlock } from '../helpers/kernel/blocks.js'
import { expectCode } from '../helpers/errors/expect-code.js'
import { markedDevices } from '../helpers/kernel/kernel-state.js'
import { atRest, idsOf, range } from '../helpers/long/report.js'
import { withPool } from '../helpers/pool/pools.js'
import { useScratch } from '../helpers/kernel/scratch.js'
import { dmStatus } from '../helpers/kernel/dmsetup.js'

const scratch = useScratch()
const COUNT = 1000
const BIG = { metadataBytes: 32 * MiB }
const activeIn = async (pool: ThinPool) => (await pool.volumes()).filter(volume => volume.active).length

test('a thousand empty volumes are created, all activated, found and deleted', async () => {
  scratch.log.allow(/thin: Creation of .* failed/)
  await withPool(BIG, async (pool, files) => {
    const volumes = await Promise.all(range(COUNT).map(() => pool.createVolume({ sizeBytes: MiB })))
    expect(await idsOf(pool)).toEqual(range(COUNT))
    for (const id of [0, 500, 999]) await expectCode(pool.createVolume({ sizeBytes: MiB, id }), 'DM_VOLUME_EXISTS')
    await pool.activateMany(volumes).then(volumesOf)
    expect(markedDevices().filter(device => device.attributes === 'L--w')).toHaveLength(COUNT + 1)
    expect(await activeIn(pool)).toBe(COUNT)
    for (const id of range(COUNT, 100)) await writeBlock(volumes[id]!.path, id % 16, id)
    const mapped = (await pool.statusMany(volumes)).map(each => each.status === 'fulfilled' && each.value.mappedBytes)
    expect(mapped).toEqual(range(COUNT).map(id => (id % 100 === 0 ? BLOCK : 0)))
    expect(dmStatus(volumes[700]!.name)).toMatch(/^0 2048 thin 128 /)
    for (const id of range(COUNT, 100)) expect(await seedOf(volumes[id]!.path, id % 16, [id])).toBe(id)
    await pool.deactivateMany(volumes).then(volumesOf)
    expect(markedDevices()).toHaveLength(1)

    const [again, counted] = await atRest(pool, files)
    expect(counted.map(({ id, mappedBlocks }) => [id, mappedBlocks])).toEqual(
      range(COUNT).map(id => [id, id % 100 === 0 ? 1 : 0]),
    )
    expect(await again.usage()).toEqual(counted)
    const found = await again.volumes()
    expect(found.map(volume => volume.id)).toEqual(range(COUNT))
    await Promise.all(found.map(volume => volume.delete()))
    expect(await idsOf(again)).toEqual([])
    expect((await again.status()).data!.usedBlocks).toBe(0)
  })
})

test('a thousand snapshots of one volume share its blocks until it is written', async () => {
  await withPool({ ...BIG, dataBytes: 128 * MiB }, async (pool, files) => {
    const origin = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    for (const block of [0, 1]) await writeBlock(origin.path, block, 1)
    const snapshots = volumesOf(await pool.snapshotMany(origin, COUNT))
    expect(await idsOf(pool)).toEqual(range(COUNT + 1))
    await writeBlock(origin.path, 0, 2)
    await pool.activateMany(snapshots).then(volumesOf)
    expect(await activeIn(pool)).toBe(COUNT + 1)
    for (const at of range(COUNT, 50)) expect(await seedOf(snapshots[at]!.path, 0, [1, 2])).toBe(1)
    for (const at of range(COUNT, 100)) await writeBlock(snapshots[at]!.path, 1, 100 + at)
    for (const at of range(COUNT, 100)) expect(await seedOf(snapshots[at]!.path, 1, [1, 100 + at])).toBe(100 + at)
    expect(await seedOf(origin.path, 1, [1])).toBe(1)
    expect((await pool.status()).data!.usedBlocks).toBe(2 + 1 + COUNT / 100)
    await pool.deactivateMany([origin, ...snapshots]).then(volumesOf)

    const [again, counted] = await atRest(pool, files)
    const own = (id: number) => (id === 0 || id % 100 === 1 ? 1 : 0)
    expect(counted).toEqual(
      range(COUNT + 1).map(id => ({ id, mappedBlocks: 2, exclusiveBlocks: own(id), sharedBlocks: 2 - own(id) })),
    )
    expect(await again.usage()).toEqual(counted)
    await Promise.all((await again.volumes()).filter(({ id }) => id > 0).map(volume => volume.delete()))
    expect((await again.status()).data!.usedBlocks).toBe(2)
    expect((await atRest(again, files))[1]).toEqual([{ id: 0, mappedBlocks: 2, exclusiveBlocks: 2, sharedBlocks: 0 }])
  })
})

test('a thousand snapshots of one another have the blocks of all before them, and middle ones can be deleted', async () => {
  await withPool({ ...BIG, dataBytes: 128 * MiB }, async (pool, files) => {
    let last = await pool.createVolume({ sizeBytes: 64 * MiB })
    for (const depth of range(COUNT)) {
      if (depth % 10 === 0) {
        await last.activate()
        await writeBlock(last.path, depth / 10, depth + 1)
        await last.deactivate()
      }
      last = await last.snapshot()
    }
    expect(await idsOf(pool)).toEqual(range(COUNT + 1))
    const [again, counted] = await atRest(pool, files)
    // Volume 0 has written before its first snapshot, 10 before the eleventh …
    const blocks = (id: number) => Math.min(COUNT / 10, Math.floor(id / 10) + 1)
    expect(counted.map(({ id, mappedBlocks }) => [id, mappedBlocks])).toEqual(
      range(COUNT + 1).map(id => [id, blocks(id)]),
    )
    expect(await again.usage()).toEqual(counted)

    const look = async (id: number) => {
      const volume = await (await again.volume(id, { sizeBytes: 64 * MiB })).activate()
      for (const block of range(blocks(id), 9)) {
        expect([id, block, await seedOf(volume.path, block, [block * 10 + 1])]).toEqual([id, block, block * 10 + 1])
      }
      expect(await seedOf(volume.path, blocks(id), [])).toBe('zero')
      await volume.deactivate()
    }
    for (const id of [0, 255, 500, COUNT]) await look(id)
    const middle = (await again.volumes()).filter(({ id }) => id > 0 && id < COUNT)
    await Promise.all(middle.map(volume => volume.delete()))
    await look(COUNT)
    expect((await again.status()).data!.usedBlocks).toBe(COUNT / 10)
    const [, left] = await atRest(again, files)
    expect(left.map(({ id, mappedBlocks }) => [id, mappedBlocks])).toEqual([
      [0, 1],
      [COUNT, COUNT / 10],
    ])
  })
})
