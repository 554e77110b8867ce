// remove, grow and detach: after a fault nothing is suspended or half-way, and the same call made again succeeds.
// @udev both
import { statSync } from 'node:fs'
import { MiB, ThinPool } from '../../../lib/entry/index.js'
import { attemptWith, EIO, expectNamed, failEach, useFaults, type Places } from '../../helpers/fault/fault.js'
import { markedDevices, snapshotKernelState } from '../../helpers/kernel/kernel-state.js'
import { withPool } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { dmInfo, dmTable } from '../../helpers/kernel/dmsetup.js'

useScratch()
const hooks = useFaults()

test('a failure of remove() at any step leaves a usable pool, and the next remove() succeeds', () =>
  withPool(async (pool, files) => {
    const volume = await pool.createVolume({ sizeBytes: MiB })
    const remove = () => pool.remove({ deactivate: true })
    const PLACES: Places[] = [
      ['DM_TABLE_STATUS', 2],
      ['LOOP_GET_STATUS64', 2],
      ['DM_LIST_DEVICES', 1],
      ['DM_DEV_REMOVE', 2],
    ]
    await failEach(
      hooks,
      PLACES,
      async () => {
        if (!(await volume.refresh())) await volume.activate()
        return remove()
      },
      async outcome => {
        // The first two table look-ups are refresh()'s own.
        expectNamed(outcome)
        expect([outcome.where, dmInfo(files.name)?.suspended]).toEqual([outcome.where, false])
        expect((await pool.status()).mode).toBe('rw')
      },
    )
    await volume.refresh()
    const removed = await remove()
    expect(removed).toMatchObject({ pool: files.name })
    expect(removed.loops).toHaveLength(2)
  }))

test('a failure of grow() at any step leaves the pool running with its old table, and the next grow() succeeds', () =>
  withPool({ dataBytes: 16 * MiB, metadataBytes: 2 * MiB }, async (pool, files) => {
    const grow = () => pool.grow({ dataBytes: 32 * MiB, metadataBytes: 4 * MiB })
    const table = dmTable(files.name)
    const before = markedDevices()
    const PLACES: Places[] = [
      ['DM_TABLE_STATUS', 1],
      ['LOOP_GET_STATUS64', 1],
      ['ftruncate', 1],
      ['LOOP_SET_CAPACITY', 2],
      ['DM_TABLE_LOAD', 1],
      ['DM_DEV_RESUME', 1],
    ]
    await failEach(hooks, PLACES, grow, outcome => {
      expectNamed(outcome)
      expect([outcome.where, dmTable(files.name)]).toEqual([outcome.where, table])
      expect([outcome.where, markedDevices()]).toEqual([outcome.where, before])
    })
    await grow()
    expect(dmTable(files.name)).not.toBe(table)
    expect(statSync(files.dataFile).size).toBe(32 * MiB)
    expect((await pool.status()).data!.totalBytes).toBe(32 * MiB)
  }))

test('a failed deactivate() leaves the volume active, and the next one succeeds', () =>
  withPool(async pool => {
    const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    const before = await snapshotKernelState()
    expectNamed(await attemptWith(hooks, ['DM_DEV_REMOVE', 1], () => volume.deactivate()))
    expect(await snapshotKernelState()).toBe(before)
    await volume.deactivate()
    expect(dmInfo(volume.name)).toBeUndefined()
  }))

test('deactivate() retries after EBUSY, and after no other errno', () =>
  withPool(async pool => {
    const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    const EBUSY = 16
    for (let tries = 0; tries < 3; tries++) hooks.setFault('DM_DEV_REMOVE', 1, 'fail', EBUSY)
    hooks.setFault('DM_DEV_REMOVE', 1, 'fail', EIO)
    const fault: unknown = await volume.deactivate().catch((reason: unknown) => reason)
    expect(fault).toMatchObject({ operation: 'DM_DEV_REMOVE', errno: EIO, tries: 4 })
    expect(hooks.clearFaults()).toBe(0)
    expect(await ThinPool.open(pool.name)).toMatchObject({ findings: [] })
  }))
