// Scenario                                                  Test
// C  bind, recursive, read-only                             bindMount() shows a folder …; a read-only bind mount …
// C  remount, flags that stay                               remount() changes the …
// C  propagation                                            setPropagation() sets what …
// M  "busy" says by whom                                    unmount() of a busy mount …; a busy device names its mounts …
// @udev both
import { closeSync, mkdirSync, openSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import {
  bindMount,
  holdersOf,
  LoopDevice,
  MiB,
  mount,
  remount,
  setPropagation,
  unmount,
} from '../../../lib/entry/index.js'
import { startChild } from '../../helpers/process/children.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { markedMounts } from '../../helpers/kernel/kernel-state.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run } from '../../helpers/process/spawned.js'

const scratch = useScratch()
let made = 0

function folder(name = `kind-${++made}`): string {
  const path = scratch.path(name)
  mkdirSync(path, { recursive: true })
  return path
}

const found = (column: string, target: string): string =>
  run('findmnt', ['--noheadings', '--raw', '--output', column, '--mountpoint', target]).trim()
const options = (target: string): string[] => found('VFS-OPTIONS', target).split(',')

async function tmpfs(): Promise<string> {
  const target = folder()
  await mount({ source: 'tmpfs', target, type: 'tmpfs', noSuid: true, noDev: true })
  return target
}

/** A mounted ext4 on a loop device. */
async function withExt4(body: (target: string, loop: LoopDevice) => Promise<void>): Promise<void> {
  const file = scratch.path(`image-${++made}`)
  writeFileSync(file, '')
  truncateSync(file, 16 * MiB)
  run('mkfs.ext4', ['-q', file])
  const loop = await LoopDevice.attach({ file })
  const target = folder()
  await mount({ source: loop.path, target, type: 'ext4' })
  await body(target, loop)
  if (markedMounts().includes(target)) await unmount(target)
  await loop.detach()
}

test('bindMount() shows a folder at a second path, and with recursive also the mounts below it', async () => {
  const source = await tmpfs()
  mkdirSync(`${source}/below`)
  await mount({ source: 'tmpfs', target: `${source}/below`, type: 'tmpfs' })
  writeFileSync(`${source}/below/file`, 'content')
  const [plain, whole] = [folder(), folder()]
  await bindMount({ source, target: plain })
  await bindMount({ source, target: whole, recursive: true })
  expect(() => readFileSync(`${plain}/below/file`)).toThrow(/ENOENT/)
  expect(readFileSync(`${whole}/below/file`, 'utf8')).toBe('content')
  expect([found('FSTYPE', plain), found('FSTYPE', `${whole}/below`)]).toEqual(['tmpfs', 'tmpfs'])
  for (const target of [`${whole}/below`, whole, plain, `${source}/below`, source]) await unmount(target)
  expect(markedMounts()).toEqual([])
})

test('a read-only bind mount rejects writes while its source accepts them, and both keep their flags', async () => {
  const source = await tmpfs()
  const view = folder()
  await bindMount({ source, target: view, readOnly: true })
  writeFileSync(`${source}/file`, 'content')
  expect(readFileSync(`${view}/file`, 'utf8')).toBe('content')
  expect(() => writeFileSync(`${view}/file`, '')).toThrow(/EROFS/)
  expect(options(view)).toEqual(expect.arrayContaining(['ro', 'nosuid', 'nodev']))
  expect(options(source)).toEqual(expect.arrayContaining(['rw', 'nosuid', 'nodev']))
  await expectCode(bindMount({ source, target: folder(), recursive: true, readOnly: true }), 'DM_INVALID_ARGUMENT')
  await expectCode(bindMount({ source: `${source}/none`, target: view }), 'DM_FILE_MISSING')
  for (const target of [view, source]) await unmount(target)
})

test('remount() changes the options that are passed and keeps the others', async () => {
  await withExt4(async (target, loop) => {
    await remount(target, { readOnly: true, noAtime: true, noExec: true })
    expect(options(target)).toEqual(expect.arrayContaining(['ro', 'noatime', 'noexec']))
    await remount(target, { readOnly: false, noSuid: true })
    expect(options(target)).toEqual(expect.arrayContaining(['rw', 'noatime', 'noexec', 'nosuid']))
    await remount(target, { noAtime: false, data: 'errors=remount-ro' })
    expect(options(target)).toEqual(expect.arrayContaining(['rw', 'relatime', 'noexec', 'nosuid']))
    const second = folder()
    await bindMount({ source: target, target: second })
    await remount(second, { readOnly: true, mountAlone: true })
    expect([options(second)[0], options(target)[0]]).toEqual(['ro', 'rw'])
    await unmount(second)
    const fd = openSync(`${target}/file`, 'w')
    const busy = await expectCode(remount(target, { readOnly: true }), 'DM_BUSY')
    closeSync(fd)
    expect(busy.holders).toContainEqual(expect.objectContaining({ kind: 'process', pid: process.pid }))
    expect(await expectCode(remount(folder(), { readOnly: true }), 'DM_KERNEL')).toMatchObject({ errno: 22 })
    await expectCode(remount(target, { mountAlone: true, data: 'x' }), 'DM_INVALID_ARGUMENT')
    expect(loop.path).toMatch(/loop/)
  })
})

const fileSystemOptions = (target: string): string[] => found('FS-OPTIONS', target).split(',')

test('remount() keeps lazytime, nosymfollow, and strictatime with nodiratime', async () => {
  await withExt4(async (target, loop) => {
    await unmount(target)
    run('mount', ['-o', 'lazytime,nosymfollow,strictatime,nodiratime', loop.path, target])
    const [before, beforeOfAll] = [options(target), fileSystemOptions(target)]
    expect(before).toEqual(expect.arrayContaining(['nosymfollow', 'nodiratime']))
    expect(before).not.toContain('relatime')
    expect(beforeOfAll).toContain('lazytime')
    await remount(target, { noExec: true })
    expect(options(target).sort()).toEqual([...before, 'noexec'].sort())
    expect(fileSystemOptions(target)).toEqual(beforeOfAll)
    await remount(target, { noDev: true, mountAlone: true })
    expect(options(target).sort()).toEqual([...before, 'nodev', 'noexec'].sort())
    expect(fileSystemOptions(target)).toEqual(beforeOfAll)
    await remount(target, { noAtime: true })
    expect(options(target)).toEqual(expect.arrayContaining(['noatime', 'nosymfollow']))
    expect(fileSystemOptions(target)).toEqual(beforeOfAll)
  })
})

test('setPropagation() sets what findmnt reports, also for mounts below', async () => {
  const target = await tmpfs()
  mkdirSync(`${target}/below`)
  await mount({ source: 'tmpfs', target: `${target}/below`, type: 'tmpfs' })
  for (const kind of ['shared', 'private', 'unbindable'] as const) {
    await setPropagation(target, kind, { recursive: true })
    expect([found('PROPAGATION', target), found('PROPAGATION', `${target}/below`)]).toEqual([
      expect.stringContaining(kind),
      expect.stringContaining(kind),
    ])
  }
  expect(await expectCode(bindMount({ source: target, target: folder() }), 'DM_KERNEL')).toMatchObject({ errno: 22 })
  await setPropagation(target, 'private')
  expect(found('PROPAGATION', `${target}/below`)).toContain('unbindable')
  // A slave hears of what happens at its master, and not the other way round.
  await setPropagation(target, 'shared')
  const copy = folder()
  await bindMount({ source: target, target: copy })
  await setPropagation(copy, 'slave')
  expect(found('PROPAGATION', copy)).toContain('slave')
  mkdirSync(`${target}/later`)
  await mount({ source: 'tmpfs', target: `${target}/later`, type: 'tmpfs' })
  expect(markedMounts()).toContain(`${copy}/later`)
  await unmount(`${target}/later`)
  await expectCode(setPropagation(target, 'public' as never), 'DM_INVALID_ARGUMENT')
  for (const each of [copy, `${target}/below`, target]) await unmount(each)
})

test('unmount() of a busy mount names an open file, a working directory, a mount below, and a loop device of its file', async () => {
  await withExt4(async target => {
    const name = 'with a blank'
    mkdirSync(`${target}/${name}`)
    const busyBy = async () => (await expectCode(unmount(target), 'DM_BUSY')).holders

    const fd = openSync(`${target}/file`, 'w')
    expect(await busyBy()).toContainEqual(expect.objectContaining({ kind: 'process', pid: process.pid }))
    closeSync(fd)

    const child = startChild(`
      process.chdir(${JSON.stringify(`${target}/${name}`)})
      console.log('inside')
      await new Promise(resolve => process.stdin.once('data', resolve))
      process.stdin.destroy()`)
    await child.saw('inside')
    expect(await busyBy()).toEqual([{ kind: 'process', path: expect.any(String) as string, pid: child.process.pid }])
    child.process.stdin!.write('go\n')
    await child.result

    await mount({ source: 'tmpfs', target: `${target}/${name}`, type: 'tmpfs' })
    expect(await busyBy()).toEqual([{ kind: 'mount', path: `${target}/${name}`, pid: process.pid }])
    await unmount(`${target}/${name}`)

    writeFileSync(`${target}/image`, Buffer.alloc(MiB))
    const inner = await LoopDevice.attach({ file: `${target}/image` })
    const fault = await expectCode(unmount(target), 'DM_BUSY')
    expect(fault.holders).toEqual([{ kind: 'device', path: inner.path, pid: 0 }])
    expect(fault.message).toContain(`held by the device ${inner.path}`)
    expect(await holdersOf(target)).toEqual(fault.holders)
    symlinkSync(scratch.path('.'), scratch.path('link'))
    expect(await holdersOf(`${scratch.path('link')}/${path.basename(target)}`)).toEqual(fault.holders)
    await inner.detach()
    expect(await holdersOf(target)).toEqual([])
  })
})

test('a busy device names its mounts, also those of btrfs, which have another device number', async () => {
  await withExt4(async (target, loop) => {
    expect(await holdersOf(loop.path)).toContainEqual(expect.objectContaining({ kind: 'mount', path: target }))
    const taken = await expectCode(mount({ source: loop.path, target, type: 'ext4' }), 'DM_BUSY')
    expect(taken.holders).toContainEqual(expect.objectContaining({ kind: 'mount', path: target }))
  })
  const file = scratch.path(`image-${++made}`)
  writeFileSync(file, '')
  truncateSync(file, 128 * MiB)
  run('mkfs.btrfs', ['-q', file])
  const loop = await LoopDevice.attach({ file })
  const target = folder()
  await mount({ source: loop.path, target, type: 'btrfs' })
  expect(await holdersOf(loop.path)).toContainEqual(expect.objectContaining({ kind: 'mount', path: target }))
  const fault = await expectCode(loop.detach({ timeoutMs: 0 }), 'DM_BUSY')
  expect(fault.holders).toContainEqual(expect.objectContaining({ kind: 'mount', path: target }))
  await unmount(target)
  await loop.detach({ timeoutMs: 60_000 })
  await expectCode(holdersOf(scratch.path('none')), 'DM_FILE_MISSING')
})
