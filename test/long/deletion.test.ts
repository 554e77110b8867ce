// Scenario                                                  Test
// K  create-delete-cycle (1000)                             one id is created and deleted a thousand …
// K  create-delete-rolling (1000)                           one id is created and deleted a thousand …
// K  rolling snapshots                                      a hundred snapshots of a volume that is …
// K  delete-provisioned-thin (512 MiB there, 256 here)      deleting a full volume frees all of its …
// K  delete-after-out-of-space                              a pool that is filled and emptied twenty …
// K  delete-active-id-fails; suspended                      delete() of active or suspended volumes is …
// @udev both
import { MiB, ThinPool, type ThinVolume } from '../../lib/entry/index.js'
import { BLOCK, seedOf, writeBlock } from '../helpers/kernel/blocks.js'
import { expectCode } from '../helpers/errors/expect-code.js'
import { snapshotKernelState } from '../helpers/kernel/kernel-state.js'
import { atRest, idsOf, range } from '../helpers/long/report.js'
import { withPool } from '../helpers/pool/pools.js'
import { useScratch } from '../helpers/kernel/scratch.js'
import { tryRun } from '../helpers/process/spawned.js'
import { dmInfo, dmResume, dmStatus, dmSuspend } from '../helpers/kernel/dmsetup.js'

const scratch = useScratch()
const COUNT = 1000

/** Fills `blocks` blocks past the page cache, so that the device's own error is told: what dd complains of. */
const fill = (volume: ThinVolume, blocks: number): string => {
  const where = ['if=/dev/zero', `of=${volume.path}`, 'bs=1M', `count=${blocks / 16}`]
  return tryRun('dd', [...where, 'oflag=direct', 'status=none']).stderr
}

test('one id is created and deleted a thousand times, and the oldest of a thousand volumes is replaced a thousand times', async () => {
  await withPool({ metadataBytes: 16 * MiB }, async (pool, files) => {
    for (const round of range(COUNT)) {
      const volume = await pool.createVolume({ sizeBytes: MiB, id: 0 })
      if (round % 100 === 0) await (await volume.activate()).deactivate()
      await volume.delete()
    }
    expect(await idsOf(pool)).toEqual([])

    const volumes = await Promise.all(range(COUNT).map(id => pool.createVolume({ sizeBytes: MiB, id })))
    const used: number[] = []
    for (let pass = 0; pass < 2; pass++) {
      for (const [id, oldest] of volumes.entries()) {
        await oldest.delete()
        volumes[id] = await pool.createVolume({ sizeBytes: MiB, id })
      }
      expect(await idsOf(pool)).toEqual(range(COUNT))
      used.push((await pool.status()).metadata!.usedBlocks)
    }
    // The same volumes take the same room, however often they were made anew.
    expect(used[1]).toBe(used[0])
    const [, counted] = await atRest(pool, files)
    expect(counted.map(({ id, mappedBlocks }) => [id, mappedBlocks])).toEqual(range(COUNT).map(id => [id, 0]))
  })
})

test('a hundred snapshots of a volume that is written keep their contents while the oldest is deleted a thousand times', async () => {
  const kept = 100
  await withPool({ metadataBytes: 16 * MiB, dataBytes: 128 * MiB }, async (pool, files) => {
    const origin = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    const snapshots: { volume: ThinVolume; seeds: number[] }[] = []
    const seeds: number[] = range(16).map(() => 0)
    for (const round of range(COUNT)) {
      const block = round % 16
      await writeBlock(origin.path, block, (seeds[block] = round + 1))
      snapshots.push({ volume: await origin.snapshot(), seeds: [...seeds] })
      if (snapshots.length <= kept) continue
      const oldest = snapshots.shift()!
      if (round % 50 === 0) await expectContent(oldest.volume, oldest.seeds)
      await oldest.volume.delete()
    }
    expect(snapshots).toHaveLength(kept)
    for (const { volume, seeds: own } of snapshots.filter((_, at) => at % 10 === 0)) await expectContent(volume, own)
    await origin.deactivate()
    const [again, counted] = await atRest(pool, files)
    expect(counted).toHaveLength(kept + 1)
    expect(await again.usage()).toEqual(counted)
    // Each of the last hundred writes is one block; the oldest snapshot has the fifteen of before.
    expect((await again.status()).data!.usedBlocks).toBe(kept + 15)
    for (const volume of await again.volumes()) if (volume.id !== 0) await volume.delete()
    expect((await again.status()).data!.usedBlocks).toBe(16)
  })
})

async function expectContent(volume: ThinVolume, seeds: readonly number[]): Promise<void> {
  await volume.activate()
  const found: unknown[] = []
  for (const [block, seed] of seeds.entries()) found.push(await seedOf(volume.path, block, [seed]))
  expect(found).toEqual(seeds.map(seed => (seed === 0 ? 'zero' : seed)))
  await volume.deactivate()
}

test('deleting a full volume frees all of its blocks, except those that a snapshot shares', async () => {
  const blocks = (256 * MiB) / BLOCK
  await withPool({ metadataBytes: 16 * MiB, dataBytes: 288 * MiB, skipBlockZeroing: true }, async pool => {
    const volume = await (await pool.createVolume({ sizeBytes: 256 * MiB })).activate()
    expect(fill(volume, blocks)).toBe('')
    expect((await pool.status()).data!.usedBlocks).toBe(blocks)
    const snapshot = await volume.snapshot()
    await writeBlock(volume.path, 7, 1)
    await volume.destroy()
    expect((await pool.status()).data!.usedBlocks).toBe(blocks)
    await snapshot.activate()
    expect(await seedOf(snapshot.path, 7, [1])).toBe('zero')
    await snapshot.destroy()
    expect((await pool.status()).data!.usedBlocks).toBe(0)
  })
})

test('a pool that is filled and emptied twenty times is out_of_data_space and rw in turn', async () => {
  scratch.log.allow(/no free data space/, /reached low water mark/, /I\/O error/, /out-of-data-space/)
  const options = { dataBytes: 4 * MiB, errorIfNoSpace: true }
  await withPool(options, async (pool, { name }) => {
    for (const round of range(20)) {
      const volume = await (await pool.createVolume({ sizeBytes: 8 * MiB })).activate()
      expect(fill(volume, 128)).toMatch(/No space left on device/)
      expect([round, (await pool.status()).mode]).toEqual([round, 'out_of_data_space'])
      const snapshot = await volume.snapshot()
      await snapshot.delete()
      expect(dmStatus(name)).toContain(' 64/64 - out_of_data_space ')
      await volume.destroy()
      expect(await pool.status()).toMatchObject({ mode: 'rw', needsCheck: false, data: { usedBlocks: 0 } })
    }
    const after = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    await writeBlock(after.path, 0, 5)
    expect(await seedOf(after.path, 0, [5])).toBe(5)
  })
})

test('delete() of active or suspended volumes is rejected and changes nothing, and succeeds when they are inactive', async () => {
  scratch.log.allow(/thin: Deletion of thin device .* failed/)
  await withPool(async (pool, { name }) => {
    const [active, suspended, destroyed, resting] = await Promise.all(
      range(4).map(id => pool.createVolume({ sizeBytes: MiB, id })),
    )
    for (const volume of [active!, suspended!, destroyed!]) {
      await volume.activate()
      await writeBlock(volume.path, 0, volume.id + 1)
    }
    for (const volume of [suspended!, destroyed!]) dmSuspend(volume.name)
    const before = await snapshotKernelState()
    const other = await ThinPool.open({ name, repair: false })
    for (const volume of [active!, suspended!, destroyed!]) {
      for (const object of [volume, await other.volume(volume.id)]) {
        expect(await expectCode(object.delete(), 'DM_VOLUME_ACTIVE')).toMatchObject({ errno: 16 })
      }
    }
    expect(await snapshotKernelState()).toBe(before)
    await destroyed!.destroy()
    expect(dmInfo(destroyed!.name)).toBeUndefined()
    dmResume(suspended!.name)
    expect(await seedOf(suspended!.path, 0, [2])).toBe(2)
    await suspended!.destroy()
    dmSuspend(name)
    await resting!.delete() // a suspended pool takes messages
    await expectCode(active!.delete(), 'DM_VOLUME_ACTIVE')
    dmResume(name)
    expect(await idsOf(pool)).toEqual([0])
    expect(await seedOf(active!.path, 0, [1])).toBe(1)
  })
})
