// Scenario (states of a pool)                               Test
// K  activate while the pool is suspended fails             a suspended pool rejects …
// K  suspend: pool with active thins, resume                a suspended pool rejects …
// K  read_only pools; needs_check                           a read-only pool …; a pool with unwritable metadata …
// K  bz1230271 metadata swapped to error; Fail              a pool whose metadata device fails …
// K  commit failure sets needs_check                        a pool with unwritable metadata is …
// M  ResizePool leaves the pool suspended (defect)          a pool with unwritable metadata …
// full: data, metadata                                      pool-space.test.ts
import { MiB, ThinPool } from '../../../lib/entry/index.js'
import { seedOf, writeBlock } from '../../helpers/kernel/blocks.js'
import { BROKEN, onLinear } from '../../helpers/pool/broken-pool.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { snapshotKernelState } from '../../helpers/kernel/kernel-state.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run, tryRun } from '../../helpers/process/spawned.js'
import { dmInfo, dmResume, dmStatus, dmSuspend, dmTable, thinCheck } from '../../helpers/kernel/dmsetup.js'
import { withPool } from '../../helpers/pool/pools.js'

const scratch = useScratch()

test('a suspended pool rejects activations and snapshots of active volumes, and accepts other calls', async () => {
  scratch.log.allow(/device-mapper: (thin|table|ioctl): /)
  await withPool(async (pool, { name }) => {
    const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    const idle = await pool.createVolume({ sizeBytes: MiB })
    dmSuspend(name)
    const before = await snapshotKernelState()
    const fault = await expectCode(idle.activate(), 'DM_POOL_SUSPENDED')
    expect(fault).toMatchObject({ errno: 22, operation: 'DM_TABLE_LOAD' })
    expect(fault.message).toContain(`dmsetup resume ${name}`)
    await expectCode(volume.snapshot(), 'DM_POOL_SUSPENDED')
    await expectCode(idle.snapshot({ activate: true }), 'DM_POOL_SUSPENDED')
    const [result] = await pool.activateMany([idle])
    expect(result).toMatchObject({ status: 'rejected', reason: { code: 'DM_POOL_SUSPENDED' } })
    expect(await snapshotKernelState()).toBe(before)

    expect((await pool.status()).mode).toBe('rw')
    expect(await volume.status()).toMatchObject({ state: 'active' })
    await (await idle.snapshot({ id: 9 })).delete()
    dmResume(name)
    expect((await pool.volumes()).map(({ id }) => id)).toEqual([0, 1])
    await idle.activate()
    await writeBlock(volume.path, 0, 1)
  })
})

test('a read-only pool rejects messages, and its volumes can be read and removed', async () => {
  scratch.log.allow(/unable to service pool target messages/, /device-mapper: (thin|table|ioctl): /)
  await withPool(async (pool, { reopen, name }) => {
    const made = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    await writeBlock(made.path, 3, 5)
    await pool.remove({ deactivate: true })
    const readOnly = await ThinPool.open({ ...reopen, readOnly: true })
    expect(dmStatus(name)).toContain(' ro ')
    const volume = await (await readOnly.volume(0, { sizeBytes: MiB })).activate()
    const before = await snapshotKernelState()
    for (const call of [
      readOnly.createVolume({ sizeBytes: MiB }),
      volume.snapshot(),
      readOnly.volume(0, { sizeBytes: MiB }).then(async other => other.delete()),
    ]) {
      const fault = await expectCode(call, 'DM_POOL_READ_ONLY')
      expect(fault.message).toContain('read-only')
    }
    const [result] = await readOnly.snapshotMany(volume, 1)
    expect(result).toMatchObject({ status: 'rejected', reason: { code: 'DM_POOL_READ_ONLY' } })
    expect(await snapshotKernelState()).toBe(before)
    expect(await seedOf(volume.path, 3, [5])).toBe(5)
  })
})

test('a pool with unwritable metadata is read-only and needs a check, rejects grow(), and is repaired by thin_check', async () => {
  scratch.log.allow(...BROKEN)
  await onLinear(scratch, async ({ pool, volume, metadataFile, breakMetadata, repairMetadata }) => {
    // Reads work, writes fail: the commit fails, the abort succeeds.
    const loop = run('losetup', ['--noheadings', '--output', 'NAME', '--associated', metadataFile]).trim()
    breakMetadata(`0 8192 flakey ${loop} 0 0 3600 1 error_writes`)
    // The kernel ignores the failed commit behind a message; this call looks at what became of it.
    const fault = await expectCode(pool.setTransactionId({ currentId: 0n, newId: 1n }), 'DM_NOT_COMMITTED')
    expect(fault.message).toContain('could not commit')
    expect(await pool.status()).toMatchObject({ mode: 'ro', needsCheck: true })
    expect(dmStatus(pool.name)).toContain('needs_check')
    expect((await expectCode(volume.snapshot(), 'DM_POOL_READ_ONLY')).message).toContain('thin_check')
    expect(dmInfo(volume.name)).toMatchObject({ suspended: false })
    expect(await seedOf(volume.path, 0, [1])).toBe(1)

    repairMetadata()
    await expectCode(pool.grow({ dataBytes: 32 * MiB }), 'DM_POOL_READ_ONLY')
    expect(dmInfo(pool.name)).toMatchObject({ suspended: false, inactiveTable: false })
    await expectCode(pool.createVolume({ sizeBytes: MiB }), 'DM_POOL_READ_ONLY')
  })
  thinCheck(scratch.path('metadata.img'), '--clear-needs-check-flag')
  const again = await ThinPool.open({
    name: scratch.name('pool'),
    data: { file: scratch.path('data.img') },
    metadata: { file: scratch.path('metadata.img') },
  })
  // What the status said meanwhile was the id that had not been committed.
  expect(await again.status()).toMatchObject({ mode: 'rw', needsCheck: false, transactionId: 0n })
  const volume = await (await again.volume(0, { sizeBytes: 8 * MiB })).activate()
  expect(await seedOf(volume.path, 0, [1])).toBe(1)
  await again.remove({ deactivate: true })
})

test('a pool whose metadata device fails rejects changes with DM_POOL_FAILED, and can be removed', async () => {
  scratch.log.allow(...BROKEN)
  await onLinear(scratch, async ({ pool, volume, breakMetadata, repairMetadata }) => {
    const idle = await pool.createVolume({ sizeBytes: MiB })
    breakMetadata('0 8192 error')
    // It is the commit that finds out: until then the pool lives on what it has in memory.
    await expect(writeBlock(volume.path, 20, 2)).rejects.toMatchObject({ code: 'EIO' })
    expect(dmStatus(pool.name)).toMatch(/ Fail$/)
    const status = await pool.status()
    expect(status).toMatchObject({ mode: 'fail', needsCheck: true, data: undefined, transactionId: undefined })
    expect(await volume.status()).toMatchObject({ state: 'fail', sizeBytes: 8 * MiB })
    const before = await snapshotKernelState()
    await expectCode(pool.createVolume({ sizeBytes: MiB }), 'DM_POOL_FAILED')
    await expectCode(volume.snapshot({ id: 20 }), 'DM_POOL_FAILED')
    await expectCode(idle.activate(), 'DM_POOL_FAILED')
    await expectCode(idle.delete(), 'DM_POOL_FAILED')
    expect(await snapshotKernelState()).toBe(before)
    expect(tryRun('dmsetup', ['message', pool.name, '0', 'create_thin 9']).status).not.toBe(0)
    // The kernel prints `Fail` for such a thin even where its table is asked for; it is found all the same.
    expect(dmTable(volume.name)).toMatch(/ thin Fail$/)
    expect(await volume.refresh()).toBe(true)
    await expectCode(pool.remove(), 'DM_POOL_IN_USE')
    expect((await pool.remove({ deactivate: true })).volumes).toEqual([volume.name])
    repairMetadata()
  })
  thinCheck(scratch.path('metadata.img'), '--clear-needs-check-flag')
})
