// A C++ exception in place of each step of the compound calls, as of memory that has run out: nothing stays suspended,
// half-made or attached.
import { mkdirSync, rmSync } from 'node:fs'
import { bindMount, DmThinError, LoopDevice, MiB, ThinPool } from '../../../lib/entry/index.js'
import { attemptWith, filesIn, ENOMEM, useFaults, type Places } from '../../helpers/fault/fault.js'
import { markedMounts, snapshotKernelState } from '../../helpers/kernel/kernel-state.js'
import { takeDown, withPool } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { dmInfo } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()
const hooks = useFaults()

const thrownAt = (place: Places, attempt: () => Promise<unknown>) =>
  attemptWith(hooks, place, attempt, { kind: 'throw' })

test('an exception at any step of an activation rejects the call, and leaves no device', () =>
  withPool(async pool => {
    const volume = await pool.createVolume({ sizeBytes: MiB })
    const before = await snapshotKernelState()
    for (const place of ['lock thin', 'DM_DEV_CREATE', 'DM_TABLE_LOAD', 'DM_DEV_RESUME']) {
      const { fault } = await thrownAt([place, 1], () => volume.activate())
      expect([place, fault?.errno]).toEqual([place, ENOMEM])
      expect([place, await snapshotKernelState()]).toEqual([place, before])
    }
    await volume.activate()
    await volume.deactivate()
  }))

test('an exception between suspend and resume rejects the snapshots, resumes the origin and deletes new snapshots', () =>
  withPool(async pool => {
    const origin = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    const ids = async () => (await pool.volumes()).map(volume => volume.id).join(' ')
    const before = [await ids(), await snapshotKernelState()]
    const places: Places[] = [
      ['lock thin', 1],
      ['DM_DEV_SUSPEND', 1],
      ['DM_TARGET_MSG', 1],
      ['DM_TARGET_MSG', 3],
    ]
    for (const place of places) {
      const { fault } = await thrownAt(place, () => pool.snapshotMany(origin, 3))
      expect([place, fault?.errno]).toEqual([place, ENOMEM])
      expect([place, dmInfo(origin.name)?.suspended]).toEqual([place, false])
      expect([place, [await ids(), await snapshotKernelState()]]).toEqual([place, before])
    }
    // One in place of the resume itself counts as a failed try.
    const { fault } = await thrownAt(['DM_DEV_RESUME', 1], () => origin.snapshot({ id: 50 }))
    expect(fault).toBeUndefined()
    expect(dmInfo(origin.name)?.suspended).toBe(false)
  }))

test('an exception during a snapshot of an inactive origin deletes new snapshots', () =>
  withPool(async pool => {
    const origin = await pool.createVolume({ sizeBytes: MiB })
    const { fault } = await thrownAt(['DM_TARGET_MSG', 2], () => pool.snapshotMany(origin, 2))
    expect(fault?.errno).toBe(ENOMEM)
    expect((await pool.volumes()).map(volume => volume.id)).toEqual([origin.id])
  }))

test('an exception at any step of an attach leaves no loop device attached', async () => {
  const folder = scratch.path(scratch.name('exceptions'))
  mkdirSync(folder)
  const name = scratch.name('exceptions')
  const file = `${folder}/data`
  const before = await snapshotKernelState()
  const create = () =>
    ThinPool.create({
      name,
      data: { file, sizeBytes: 16 * MiB },
      metadata: { file: `${folder}/metadata`, sizeBytes: 2 * MiB },
    })
  for (const place of ['create file', 'ftruncate', 'LOOP_CONFIGURE', 'LOOP_GET_STATUS64', 'pread', 'DM_TABLE_LOAD']) {
    const { fault } = await thrownAt([place, 1], create)
    expect([place, fault instanceof DmThinError]).toEqual([place, true])
    expect([place, await snapshotKernelState()]).toEqual([place, before])
    expect([place, filesIn(folder)]).toEqual([place, []])
  }
  await (await create()).remove()
  const { fault } = await thrownAt(['LOOP_GET_STATUS64', 1], () => LoopDevice.attach({ file }))
  expect(fault?.errno).toBe(ENOMEM)
  const chosen = await thrownAt(['LOOP_GET_STATUS64', 1], () => LoopDevice.attach({ file, number: 77 }))
  expect(chosen.fault?.errno).toBe(ENOMEM)
  expect(await snapshotKernelState()).toBe(before)
  await takeDown(name)
  rmSync(folder, { recursive: true })
})

test('an exception at the second step of a read-only bind mount unmounts it', async () => {
  const target = scratch.path(scratch.name('exceptions'))
  mkdirSync(target)
  const before = markedMounts()
  const { fault } = await thrownAt(['statfs', 1], () => bindMount({ source: target, target, readOnly: true }))
  expect(fault?.errno).toBe(ENOMEM)
  expect(markedMounts()).toEqual(before)
  rmSync(target, { recursive: true })
})
