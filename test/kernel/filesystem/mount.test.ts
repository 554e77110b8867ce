// Scenario                                                  Test
// C  Mkfs ext4/xfs default, non-default failing path        mount() mounts a volume …; mount() of an invalid device, type …
// C  MultipleXfsMounts (nouuid)                             mount() mounts a snapshot of a mounted …
// C  ViewReadonly                                           mount() mounts a read-only snapshot …
// M  MountLeaks: another mount namespace holds it           a mount in another mount …
// M  MNT_DETACH                                             mount() and unmount() reject …
// bad luck: busy, held open by another process              mount() and unmount() reject …; deactivate() of a busy volume names its …
// @udev both
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { MiB, mount, type ThinPool, unmount, type MountOptions, type ThinVolume } from '../../../lib/entry/index.js'
import { startChild } from '../../helpers/process/children.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { markedMounts, snapshotKernelState } from '../../helpers/kernel/kernel-state.js'
import { withPool } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run } from '../../helpers/process/spawned.js'

const scratch = useScratch()
let folders = 0

function folder(): string {
  const path = scratch.path(`mount-${++folders}`)
  mkdirSync(path)
  return path
}

async function formatted(pool: ThinPool, sizeBytes = 16 * MiB, ...mkfs: string[]): Promise<ThinVolume> {
  const volume = await (await pool.createVolume({ sizeBytes })).activate()
  const [command = 'mkfs.ext4', ...args] = mkfs
  run(command, ['-q', ...args, volume.path])
  return volume
}

/** The mount's own options and the file system's, as the kernel prints them. */
const optionsAt = (target: string) =>
  run('findmnt', ['--noheadings', '--output', 'FSTYPE,SOURCE,OPTIONS', target]).trim()

test('mount() mounts a volume again with its content, with the options that findmnt reports', async () => {
  await withPool(async pool => {
    const { path } = await formatted(pool)
    const target = folder()
    await mount({ source: path, target, type: 'ext4', noAtime: true, data: 'nobarrier' })
    expect(optionsAt(target)).toMatch(/^ext4 +\S+ +rw,noatime.*nobarrier/)
    writeFileSync(`${target}/file`, 'content')
    await unmount(target)
    expect(markedMounts()).toEqual([])
    await mount({ source: path, target, type: 'ext4', readOnly: true })
    expect(readFileSync(`${target}/file`, 'utf8')).toBe('content')
    expect(() => writeFileSync(`${target}/file`, '')).toThrow(/EROFS/)
    await unmount(target)
  })
})

test('mount() mounts a read-only snapshot of a mounted ext4 without its journal', async () => {
  await withPool(async pool => {
    const volume = await formatted(pool)
    const [target, view] = [folder(), folder()]
    await mount({ source: volume.path, target, type: 'ext4' })
    writeFileSync(`${target}/file`, 'before')
    const snapshot = await volume.snapshot({ activate: true, readOnly: true })
    writeFileSync(`${target}/file`, 'after')
    await mount({ source: snapshot.path, target: view, type: 'ext4', readOnly: true, data: 'noload' })
    expect(readFileSync(`${view}/file`, 'utf8')).toBe('before')
    for (const each of [view, target]) await unmount(each)
  })
})

test('mount() mounts a snapshot of a mounted xfs with nouuid, and rejects without it', async () => {
  scratch.log.allow(/XFS/)
  await withPool({ dataBytes: 512 * MiB }, async pool => {
    const volume = await formatted(pool, 320 * MiB, 'mkfs.xfs')
    const [target, second] = [folder(), folder()]
    await mount({ source: volume.path, target, type: 'xfs' })
    writeFileSync(`${target}/file`, 'content')
    const snapshot = await volume.snapshot({ activate: true })
    const plain = { source: snapshot.path, target: second, type: 'xfs' }
    expect(await expectCode(mount(plain), 'DM_KERNEL')).toMatchObject({ errno: 22, operation: 'mount' })
    await mount({ ...plain, data: 'nouuid' })
    expect(readFileSync(`${second}/file`, 'utf8')).toBe('content')
    for (const each of [second, target]) await unmount(each)
  })
})

test('mount() of an invalid device, type or target leaves no mount', async () => {
  scratch.log.allow(/EXT4-fs/)
  await withPool(async pool => {
    const empty = await (await pool.createVolume({ sizeBytes: 16 * MiB })).activate()
    const target = folder()
    const good: MountOptions = { source: empty.path, target, type: 'ext4' }
    const before = await snapshotKernelState()
    expect(await expectCode(mount(good), 'DM_KERNEL')).toMatchObject({ errno: 22 })
    expect(await expectCode(mount({ ...good, type: 'nofs' }), 'DM_KERNEL')).toMatchObject({ errno: 19 })
    await expectCode(mount({ ...good, target: `${target}/none` }), 'DM_FILE_MISSING')
    await expectCode(mount({ ...good, source: '/dev/dmthintest-none' }), 'DM_FILE_MISSING')
    await expectCode(mount({ ...good, type: '' }), 'DM_INVALID_ARGUMENT')
    await expectCode(mount({ ...good, readonly: true } as MountOptions), 'DM_INVALID_ARGUMENT')
    expect(await expectCode(unmount(target), 'DM_KERNEL')).toMatchObject({ errno: 22, operation: 'umount2' })
    await expectCode(unmount(''), 'DM_INVALID_ARGUMENT')
    expect(await snapshotKernelState()).toBe(before)
  })
})

test('mount() and unmount() reject with DM_BUSY if the target is in use, and a lazy unmount() succeeds', async () => {
  await withPool(async pool => {
    const volume = await formatted(pool)
    const target = folder()
    const options = { source: volume.path, target, type: 'ext4' }
    await mount(options)
    await expectCode(mount(options), 'DM_BUSY')
    const fd = openSync(`${target}/file`, 'w')
    expect((await expectCode(unmount(target), 'DM_BUSY')).message).toContain(target)
    await unmount(target, { lazy: true })
    expect(markedMounts()).toEqual([])
    // Out of sight, and still holding the device: until the file is closed.
    const fault = await expectCode(volume.deactivate({ timeoutMs: 0 }), 'DM_BUSY')
    expect(fault.errno).toBe(16)
    closeSync(fd)
    await volume.deactivate()
  })
})

test('deactivate() of a busy volume names its holders: a mount, a process, and a device on top of it', async () => {
  await withPool(async pool => {
    const volume = await formatted(pool)
    const target = folder()
    await mount({ source: volume.path, target, type: 'ext4' })
    const mounted = await expectCode(volume.deactivate({ timeoutMs: 0 }), 'DM_BUSY')
    expect(mounted.holders).toContainEqual(expect.objectContaining({ kind: 'mount', path: target }))
    await unmount(target)

    const child = startChild(`
      const fs = require('node:fs')
      fs.openSync(${JSON.stringify(volume.path)}, 'r')
      console.log('open')
      await new Promise(resolve => process.stdin.once('data', resolve))
      process.stdin.destroy()`)
    await child.saw('open')
    const open = await expectCode(volume.deactivate({ timeoutMs: 0 }), 'DM_BUSY')
    expect(open.holders).toContainEqual({ kind: 'process', path: expect.any(String) as string, pid: child.process.pid })
    // Held and then let go, it is waited for.
    const deactivating = volume.deactivate({ timeoutMs: 60_000 })
    child.process.stdin!.write('go\n')
    await Promise.all([deactivating, child.result])

    await volume.activate()
    const stacked = scratch.name('stacked')
    run('dmsetup', ['create', '--noudevsync', stacked, '--table', `0 8 linear ${volume.path} 0`])
    const below = await expectCode(volume.deactivate({ timeoutMs: 0 }), 'DM_BUSY')
    expect(below.holders).toContainEqual({
      kind: 'device',
      path: expect.stringMatching(/^\/dev\/dm-/) as string,
      pid: 0,
    })
    run('dmsetup', ['remove', '--noudevsync', '--retry', stacked])
    await volume.deactivate()
  })
})

test('a mount in another mount namespace is reported as a holder', async () => {
  await withPool(async pool => {
    const volume = await formatted(pool)
    const target = folder()
    await mount({ source: volume.path, target, type: 'ext4' })
    const leak = `
      console.log('copied')
      await new Promise(resolve => process.stdin.once('data', resolve))
      process.stdin.destroy()`
    const child = startChild(leak, ['unshare', '--mount', '--propagation', 'private'])
    await child.saw('copied')
    await unmount(target)
    const fault = await expectCode(volume.deactivate({ timeoutMs: 0 }), 'DM_BUSY')
    expect(fault.holders).toContainEqual(
      expect.objectContaining({ kind: 'mount', path: target, pid: child.process.pid }),
    )
    child.process.stdin!.write('go\n')
    await child.result
    await volume.deactivate()
  })
})
