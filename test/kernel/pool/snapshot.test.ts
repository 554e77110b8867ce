// Scenario                                                  Test
// D  thindev snapshot (no usage); C CreateSnapshot          a snapshot of an inactive origin suspends …
// C  DeleteSnapshot (second: not found)                     snapshots can be deleted once, in any …
// C  SuspendResume; snapshot without suspend (defect)       a snapshot of an active origin suspends …
// D  create_snap fails, origin stays suspended (defect)     a rejected snapshot leaves the origin resumed …
// C  origin suspended through the activation (defect)       the origin is resumed before its snapshot …
// C  any failure counts as "not active" (defect)            an origin that another program …
// D  thin id leaked when a name is taken (defect)           the origin is resumed before its snapshot …
// K  100 (there 1000) recursive snapshots                   a chain of 100 snapshots …
// K  999 snapshots under one pause (here 100)               many.test.ts
// K  messages while the pool is suspended                   an origin that another program suspended stays …
// @udev both @second-kernel
import { MiB, volumesOf, type ThinPool } from '../../../lib/entry/index.js'
import { nativePort } from '../../../lib/kernel/native-port.js'
import { volumeUuidPrefix } from '../../../lib/pool/state/context.js'
import { seedOf, writeBlock } from '../../helpers/kernel/blocks.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { snapshotKernelState } from '../../helpers/kernel/kernel-state.js'
import { withPool } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { dmCreate, dmInfo, dmRemove, dmResume, dmSuspend } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()
const port = nativePort()
const idsOf = async (pool: ThinPool) => (await pool.volumes()).map(volume => volume.id)

/** The request that volume.snapshot() makes of the kernel's side, for a look at what it answers. */
async function rawSnapshot(name: string, originId: number, ids: number[]) {
  const pool = await port.deviceStatus({ name })
  const ownPrefix = volumeUuidPrefix(pool)
  const originUuid = ownPrefix + originId
  return port.snapshot({ pool, ownPrefix, originUuid, originId, ids, committed: true })
}

test('a snapshot of an inactive origin suspends nothing, activates nothing, and allocates no data block', async () => {
  await withPool(async (pool, { name }) => {
    const volume = await pool.createVolume({ sizeBytes: 8 * MiB })
    const before = await snapshotKernelState()
    const snapshot = await volume.snapshot()
    expect(snapshot).toMatchObject({ id: 1, active: false, sizeBytes: 8 * MiB, name: `${name}-1` })
    expect(await rawSnapshot(name, 0, [2])).toEqual({ items: [{ id: 2, errno: 0, operation: '' }], suspended: false })
    expect(await snapshotKernelState()).toBe(before)
    expect((await pool.status()).data!.usedBlocks).toBe(0)
    expect(await idsOf(pool)).toEqual([0, 1, 2])
  })
})

test('a snapshot of an active origin suspends the origin and resumes it', async () => {
  await withPool(async (pool, { name }) => {
    const volume = await (await pool.createVolume({ sizeBytes: 8 * MiB })).activate()
    expect(await rawSnapshot(name, 0, [1])).toEqual({ items: [{ id: 1, errno: 0, operation: '' }], suspended: true })
    expect(dmInfo(volume.name)).toMatchObject({ suspended: false, inactiveTable: false })
    await writeBlock(volume.path, 0, 1)
  })
})

test('a snapshot contains what was in the page cache of its origin', async () => {
  await withPool(async pool => {
    const volume = await (await pool.createVolume({ sizeBytes: 8 * MiB })).activate()
    await writeBlock(volume.path, 0, 1)
    const snapshot = await volume.snapshot({ activate: true })
    await writeBlock(volume.path, 0, 2)
    expect(await seedOf(snapshot.path, 0, [1, 2])).toBe(1)
    expect(await seedOf(volume.path, 0, [1, 2])).toBe(2)
  })
})

test('a rejected snapshot leaves the origin resumed and writable, and no thin id', async () => {
  scratch.log.allow(/thin: (Creation|Deletion) of .* failed/)
  await withPool(async (pool, { name }) => {
    const volume = await (await pool.createVolume({ sizeBytes: 8 * MiB })).activate()
    await pool.createVolume({ sizeBytes: MiB, id: 9 })
    const before = await snapshotKernelState()
    const fault = await expectCode(volume.snapshot({ id: 9 }), 'DM_VOLUME_EXISTS')
    expect(fault).toMatchObject({ errno: 17, detail: 'create_snap 9 0', device: name })
    await expectCode(volume.snapshot({ id: 0 }), 'DM_VOLUME_EXISTS')
    expect(await snapshotKernelState()).toBe(before)
    await writeBlock(volume.path, 0, 1)
    expect(await idsOf(pool)).toEqual([0, 9])
  })
})

test('several snapshots under one suspend each have their own result, and the origin is resumed', async () => {
  scratch.log.allow(/thin: (Creation|Deletion) of .* failed/)
  await withPool(async (pool, { name }) => {
    const volume = await (await pool.createVolume({ sizeBytes: 8 * MiB })).activate()
    await pool.createVolume({ sizeBytes: MiB, id: 2 })
    const { items, suspended } = await rawSnapshot(name, 0, [1, 2, 3])
    expect(suspended).toBe(true)
    expect(items).toEqual([
      { id: 1, errno: 0, operation: '' },
      { id: 2, errno: 17, operation: 'DM_TARGET_MSG' },
      { id: 3, errno: 0, operation: '' },
    ])
    expect(dmInfo(volume.name)).toMatchObject({ suspended: false })
  })
})

test('the origin is resumed before its snapshot is activated, and a failed activation leaves no thin id', async () => {
  await withPool(async pool => {
    const volume = await (await pool.createVolume({ sizeBytes: 8 * MiB })).activate()
    const name = scratch.name('taken')
    dmCreate(name, '0 8 zero')
    const before = await snapshotKernelState()
    const fault = await expectCode(volume.snapshot({ name, activate: true }), 'DM_NAME_TAKEN')
    expect(fault.rollback).toEqual([{ operation: 'delete 1', device: pool.name, errno: 0 }])
    expect(await snapshotKernelState()).toBe(before)
    expect(await idsOf(pool)).toEqual([0])
    dmRemove(name)
    const made = await volume.snapshot({ name, activate: true })
    expect(await idsOf(pool)).toEqual([0, made.id])
  })
})

test('snapshot({ activate: true }) of an origin of unknown size is rejected before the snapshot is created', async () => {
  await withPool(async pool => {
    await pool.createVolume({ sizeBytes: MiB })
    const [found] = await pool.volumes()
    await expectCode(found!.snapshot({ activate: true }), 'DM_SIZE_UNKNOWN')
    expect(await idsOf(pool)).toEqual([0])
    await found!.snapshot()
  })
})

test('an origin that another program activated is suspended and resumed under its own name', async () => {
  scratch.log.allow(/thin: (Creation|Deletion) of .* failed/)
  await withPool(async (pool, { name }) => {
    const volume = await pool.createVolume({ sizeBytes: 8 * MiB })
    const foreign = scratch.name('foreign')
    dmCreate(foreign, `0 16384 thin ${dmInfo(name)!.number} 0`)
    expect(await rawSnapshot(name, 0, [1])).toMatchObject({ suspended: true })
    expect(dmInfo(foreign)).toMatchObject({ suspended: false })
    await pool.volume(1)
    const made = await volume.snapshot()
    expect(await idsOf(pool)).toEqual([0, 1, made.id])
    dmRemove(foreign)
  })
})

test('an origin that another program suspended stays suspended', async () => {
  await withPool(async (pool, { name }) => {
    const volume = await (await pool.createVolume({ sizeBytes: 8 * MiB })).activate()
    dmSuspend(volume.name)
    await volume.snapshot()
    expect(await rawSnapshot(name, 0, [5])).toMatchObject({ suspended: false })
    expect(dmInfo(volume.name)).toMatchObject({ suspended: true })
    dmResume(volume.name)
    expect(await idsOf(pool)).toEqual([0, 1, 5])
  })
})

test('a snapshot of an active volume of a suspended pool rejects with DM_POOL_SUSPENDED instead of waiting', async () => {
  await withPool(async (pool, { name }) => {
    const volume = await (await pool.createVolume({ sizeBytes: 8 * MiB })).activate()
    dmSuspend(name)
    const before = await snapshotKernelState()
    await expectCode(volume.snapshot(), 'DM_POOL_SUSPENDED')
    await expectCode(volume.snapshot({ activate: true }), 'DM_POOL_SUSPENDED')
    expect(await snapshotKernelState()).toBe(before)
    dmResume(name)
    expect(await idsOf(pool)).toEqual([0])
    const made = await volume.snapshot()
    expect(await idsOf(pool)).toEqual([0, made.id])
  })
})

test('snapshots can be deleted once, in any order, also after their origin', async () => {
  scratch.log.allow(/thin: (Creation|Deletion) of .* failed/)
  await withPool(async pool => {
    const volume = await (await pool.createVolume({ sizeBytes: 8 * MiB })).activate()
    await writeBlock(volume.path, 0, 1)
    const [first, second] = volumesOf(await pool.snapshotMany(volume, 2))
    await first!.delete()
    await expectCode(first!.delete(), 'DM_VOLUME_NOT_FOUND')
    await volume.destroy()
    await second!.activate()
    expect(await seedOf(second!.path, 0, [1])).toBe(1)
    expect(await idsOf(pool)).toEqual([second!.id])
    await second!.destroy()
    expect((await pool.status()).data!.usedBlocks).toBe(0)
  })
})

test('a chain of 100 snapshots keeps the writes of each, and snapshots within it can be deleted', async () => {
  await withPool({ metadataBytes: 16 * MiB }, async pool => {
    let last = await pool.createVolume({ sizeBytes: 16 * MiB })
    const generations = [last]
    for (let depth = 0; depth < 100; depth++) {
      last = await last.snapshot()
      generations.push(last)
      if (depth % 20 !== 0) continue
      await last.activate()
      await writeBlock(last.path, depth, depth + 1)
      await last.deactivate()
    }
    expect(await idsOf(pool)).toEqual(Array.from({ length: 101 }, (_, id) => id))
    await last.activate()
    for (const depth of [0, 20, 40, 60, 80]) expect(await seedOf(last.path, depth, [depth + 1])).toBe(depth + 1)
    expect((await last.status()).mappedBytes).toBe(5 * 64 * 1024)
    for (const middle of generations.slice(1, 100)) await middle.delete()
    expect(await seedOf(last.path, 40, [41])).toBe(41)
    expect((await pool.status()).data!.usedBlocks).toBe(5)
  })
})
