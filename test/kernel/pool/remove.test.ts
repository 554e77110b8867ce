// Scenario                                                  Test
// C  RemoveDevice (pool with dependents is busy), RemovePool  remove() rejects if volumes are active …; remove({ deactivate: true }) …
// M  Teardown; AUTOCLEAR loops die with the pool            remove({ deactivate: true }) …
// K  remove pool with active thins is EBUSY                 remove() rejects if volumes are active, also …
// C  no force-remove with an error table (defect)           remove() keeps a busy volume with its …
// M  loop devices leaked (pain 12)                          remove() keeps loop devices of others, also …
// bad luck: held open by another process, mounted           remove() keeps a busy volume …; remove() keeps a mounted …
// @udev both
import { closeSync, existsSync, mkdirSync, openSync, writeFileSync } from 'node:fs'
import { LoopDevice, MiB, mount, ThinPool, unmount } from '../../../lib/entry/index.js'
import { undefinedIf } from '../../../lib/base/errors.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { markedDevices, markedLoops, snapshotKernelState } from '../../helpers/kernel/kernel-state.js'
import { withPool } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run } from '../../helpers/process/spawned.js'
import { dmInfo, dmTable, dmCreate } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()

test('remove({ deactivate: true }) removes all devices, reports them, and keeps the files', async () => {
  await withPool(async (pool, { name, dataFile, metadataFile }) => {
    const volumes = await Promise.all([1, 2].map(id => pool.createVolume({ sizeBytes: MiB, id })))
    await pool.activateMany(volumes)
    const removed = await pool.remove({ deactivate: true })
    expect(removed.pool).toBe(name)
    expect([...removed.volumes].sort()).toEqual([`${name}-1`, `${name}-2`])
    expect(removed.loops).toHaveLength(2)
    expect(removed.files).toEqual([])
    expect(await snapshotKernelState()).toBe('')
    expect([dataFile, metadataFile].map(existsSync)).toEqual([true, true])
  })
})

test('remove({ deleteFiles: true }) deletes the files', async () => {
  await withPool(async (pool, { dataFile, metadataFile }) => {
    const removed = await pool.remove({ deleteFiles: true })
    expect([...removed.files].sort()).toEqual([dataFile, metadataFile])
    expect([dataFile, metadataFile].map(existsSync)).toEqual([false, false])
  })
})

test('remove() rejects if volumes are active, also those of other programs', async () => {
  await withPool(async (pool, { name }) => {
    const volume = await pool.createVolume({ sizeBytes: MiB })
    const foreign = scratch.name('foreign')
    dmCreate(foreign, `0 2048 thin ${dmInfo(name)!.number} ${volume.id}`)
    const before = await snapshotKernelState()
    expect((await expectCode(pool.remove(), 'DM_POOL_IN_USE')).message).toContain(foreign)
    expect(await snapshotKernelState()).toBe(before)
    expect((await pool.remove({ deactivate: true })).volumes).toEqual([foreign])
  })
})

test('remove() keeps a busy volume with its table, and names its holder', async () => {
  await withPool(async (pool, { name }) => {
    const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    const fd = openSync(volume.path, 'r+')
    const table = dmTable(volume.name)
    const fault = await expectCode(pool.remove({ deactivate: true, timeoutMs: 50 }), 'DM_BUSY')
    expect(fault.holders).toContainEqual(expect.objectContaining({ kind: 'process', pid: process.pid }))
    expect(dmTable(volume.name)).toBe(table)
    expect(dmInfo(volume.name)).toMatchObject({ openCount: 1, suspended: false })
    expect(dmInfo(name)).toMatchObject({ openCount: 1, suspended: false })
    closeSync(fd)
    await pool.remove({ deactivate: true })
  })
})

test('remove() keeps a mounted volume and its pool, and names the mount point', async () => {
  await withPool(async pool => {
    const volume = await (await pool.createVolume({ sizeBytes: 16 * MiB })).activate()
    run('mkfs.ext4', ['-q', volume.path])
    const target = scratch.path('held')
    mkdirSync(target)
    await mount({ source: volume.path, target, type: 'ext4' })
    const fault = await expectCode(pool.remove({ deactivate: true, timeoutMs: 0 }), 'DM_BUSY')
    expect(fault.holders).toContainEqual(expect.objectContaining({ kind: 'mount', path: target }))
    expect(fault.message).toContain(target)
    expect(fault.tries).toBe(1)
    await unmount(target)
    await pool.remove({ deactivate: true })
  })
})

test('methods of a pool that another object removed reject with DM_NOT_FOUND, and close() resolves', async () => {
  await withPool(async (pool, { name }) => {
    const other = await ThinPool.open(name)
    await other.remove()
    await expectCode(pool.status(), 'DM_NOT_FOUND')
    await expectCode(pool.remove(), 'DM_NOT_FOUND')
    await expectCode(pool.createVolume({ sizeBytes: MiB }), 'DM_NOT_FOUND')
    await pool.close()
  })
})

test('close() is idempotent, waits for calls, and changes nothing in the kernel, and remove() closes the pool', async () => {
  await withPool(async (pool, { name }) => {
    const other = await ThinPool.open(name)
    const before = await snapshotKernelState()
    const creating = other.createVolume({ sizeBytes: MiB })
    await Promise.all([other.close(), other.close()])
    expect((await creating).id).toBe(0)
    await other[Symbol.asyncDispose]()
    await expectCode(other.status(), 'DM_CLOSED')
    expect(await snapshotKernelState()).toBe(before)
    await pool.remove()
    await expectCode(pool.remove(), 'DM_CLOSED')
  })
})

test('remove() keeps loop devices of others, also one that reuses a number of the pool', async () => {
  const file = scratch.path('other')
  writeFileSync(file, Buffer.alloc(MiB))
  await withPool(async pool => {
    const numbers = markedLoops().map(loop => loop.name)
    // Attached the moment a number is free, while remove() still waits for the pool's own devices to go.
    const removing = pool.remove({ timeoutMs: 3_000 })
    const number = Number(numbers[0]!.replace('/dev/loop', ''))
    const attach = () => LoopDevice.attach({ file, number }).catch(undefinedIf('DM_BUSY'))
    let other = await attach()
    while (!other) other = await attach()
    await removing
    expect(markedLoops()).toMatchObject([{ name: other.path, file, autoclear: false }])
    await other.detach()
  })
})

test('remove() of a pool of another program keeps the loop devices that it attached', async () => {
  const name = scratch.name('foreign')
  const [data, metadata] = [32, 4].map(size => {
    const file = scratch.path(`foreign-${size}`)
    run('truncate', ['-s', `${size}M`, file])
    return run('losetup', ['--find', '--show', file]).trim()
  })
  dmCreate(name, `0 65536 thin-pool ${metadata} ${data} 128 0`)
  const pool = await ThinPool.open(name)
  await (await pool.createVolume({ sizeBytes: MiB })).activate()
  expect(markedDevices()).toHaveLength(2)
  expect(await pool.remove({ deactivate: true, deleteFiles: true })).toMatchObject({ loops: [], files: [] })
  expect(markedDevices()).toEqual([])
  expect(markedLoops().map(loop => loop.name)).toEqual([data, metadata])
  run('losetup', ['--detach', data!, metadata!])
})
