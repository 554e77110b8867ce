// Scenario                                                  Test
// C  LOOP_CONFIGURE, attach, read-only, direct I/O          attach() has the options and …
// C  GET_FREE races, retried                                races/loops.test.ts
// M  IncreaseLoopBackSize                                   resize() enlarges the device to …
// M  existing loops by device and inode; two caches         attach() of an attached file …
// M  LO_FLAGS_AUTOCLEAR                                     an autoclear device is detached …
// M  LockReleasedDeviceDeletion; detach while open          detach() of an open device rejects …
// bad input: vanished, not a file, odd sizes                attach() of an invalid file or with …
// @udev both
import { closeSync, linkSync, openSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { KiB, LoopDevice, MiB, type LoopAttachOptions } from '../../../lib/entry/index.js'
import { pattern, readAt, writeAt } from '../../helpers/kernel/blocks.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { markedLoops, snapshotKernelState } from '../../helpers/kernel/kernel-state.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run, tryRun } from '../../helpers/process/spawned.js'

const scratch = useScratch()
let made = 0

function image(bytes = MiB): string {
  const file = scratch.path(`image-${++made}`)
  writeFileSync(file, pattern(made, bytes))
  return file
}

test.each<[string, Partial<LoopAttachOptions>, object]>([
  ['no options', {}, { autoclear: false, readOnly: false, offset: 0 }],
  ['read-only', { readOnly: true }, { readOnly: true }],
  ['autoclear', { autoclear: true }, { autoclear: true }],
  ['an offset and a size limit', { offsetBytes: 64 * KiB, sizeLimitBytes: 128 * KiB }, { offset: 64 * KiB }],
])('attach() has the options and content that losetup reports (%s)', async (_, options, listed) => {
  const file = image()
  const content = readFileSync(file)
  const device = await LoopDevice.attach({ file, ...options })
  expect(markedLoops()).toEqual([expect.objectContaining({ name: device.path, file, ...listed })])
  const { offsetBytes = 0, sizeLimitBytes = MiB } = options
  expect(device.info).toMatchObject({ file, sizeBytes: sizeLimitBytes, offsetBytes, number: device.number })
  const expected = content.subarray(offsetBytes, offsetBytes + sizeLimitBytes)
  expect((await readAt(device.path, 0, MiB)).equals(expected)).toBe(true)
  const writing = writeAt(device.path, 0, Buffer.alloc(4096, 7))
  if (options.readOnly)
    await expect(writing).rejects.toMatchObject({ code: expect.stringMatching(/EPERM|EROFS/) as string })
  else await writing.then(() => expect(readFileSync(file)[offsetBytes]).toBe(7))
  await device.detach()
  expect(markedLoops()).toEqual([])
})

test('attach() sets a logical block size, and direct I/O if the file system supports it', async () => {
  const file = image()
  const device = await LoopDevice.attach({ file, blockSizeBytes: 4096 })
  expect(run('blockdev', ['--getss', device.path]).trim()).toBe('4096')
  await device.detach()
  const direct = await LoopDevice.attach({ file, directIo: true })
  const dio = run('losetup', ['--noheadings', '--output', 'DIO', direct.path]).trim()
  expect(direct.info.directIo).toBe(dio === '1')
  await direct.detach()
})

test('LoopDevice.list() returns the devices that losetup lists', async () => {
  const devices = await Promise.all([1, 2, 3].map(() => LoopDevice.attach({ file: image() })))
  const listed = await LoopDevice.list()
  const all = (JSON.parse(run('losetup', ['--list', '--json'])) as { loopdevices: { name: string }[] }).loopdevices
  expect(listed.map(each => each.path).sort()).toEqual(all.map(each => each.name).sort())
  for (const device of devices) expect(listed.map(each => each.info)).toContainEqual(device.info)
  await Promise.all(devices.map(device => device.detach()))
})

test('ranges of one file can be attached if they do not overlap', async () => {
  const file = image()
  const half = { file, sizeLimitBytes: 128 * KiB }
  const first = await LoopDevice.attach(half)
  await expectCode(LoopDevice.attach({ ...half, offsetBytes: 64 * KiB }), 'DM_FILE_ATTACHED')
  await expectCode(LoopDevice.attach({ file }), 'DM_FILE_ATTACHED')
  const second = await LoopDevice.attach({ ...half, offsetBytes: 128 * KiB })
  expect([first.info.sizeBytes, second.info.offsetBytes]).toEqual([128 * KiB, 128 * KiB])
  await Promise.all([first.detach(), second.detach()])
})

test('ranges of one file that do not overlap can be attached concurrently', async () => {
  const file = image()
  const windows = Array.from({ length: 8 }, (_, at) => ({ file, sizeLimitBytes: 16 * KiB, offsetBytes: at * 16 * KiB }))
  const devices = await Promise.all(windows.map(each => LoopDevice.attach(each)))
  expect(devices.map(({ info }) => info.offsetBytes)).toEqual(windows.map(({ offsetBytes }) => offsetBytes))
  await Promise.all(devices.map(device => device.detach()))
})

test('attach() of an attached file rejects with DM_FILE_ATTACHED, by any of its paths, and one of two concurrent calls succeeds', async () => {
  const file = image()
  linkSync(file, `${file}.link`)
  const outcomes = await Promise.allSettled([file, `${file}.link`].map(path => LoopDevice.attach({ file: path })))
  const devices = outcomes.flatMap(each => (each.status === 'fulfilled' ? [each.value] : []))
  expect(devices).toHaveLength(1)
  expect(outcomes).toContainEqual({
    status: 'rejected',
    reason: expect.objectContaining({ code: 'DM_FILE_ATTACHED' }) as unknown,
  })
  renameSync(file, `${file}.moved`)
  const before = await snapshotKernelState()
  const fault = await expectCode(LoopDevice.attach({ file: `${file}.moved` }), 'DM_FILE_ATTACHED')
  expect(fault.message).toContain(devices[0]!.path)
  expect(await snapshotKernelState()).toBe(before)
  await devices[0]!.detach()
  await (await LoopDevice.attach({ file: `${file}.link` })).detach()
})

test('resize() enlarges the device to the size of its file, and keeps the content', async () => {
  const file = image()
  const content = readFileSync(file)
  const device = await LoopDevice.attach({ file })
  truncateSync(file, 3 * MiB)
  expect((await device.refresh()).sizeBytes).toBe(MiB)
  expect(await device.resize()).toBe(3 * MiB)
  expect(run('blockdev', ['--getsize64', device.path]).trim()).toBe(String(3 * MiB))
  expect((await readAt(device.path, 0, MiB)).equals(content)).toBe(true)
  await device.detach()
})

test('an autoclear device is detached at its last close, and keeps its file if the file is deleted', async () => {
  const file = image()
  const device = await LoopDevice.attach({ file, autoclear: true })
  const fd = openSync(device.path, 'r')
  await device.close()
  await device.close()
  rmSync(file)
  expect((await LoopDevice.list()).find(each => each.number === device.number)!.file).toBe(`${file} (deleted)`)
  closeSync(fd)
  tryRun('udevadm', ['settle'])
  expect(markedLoops()).toEqual([])
  await expectCode(device.refresh(), 'DM_CLOSED')
})

test('detach() of an open device rejects with DM_BUSY and its holders, and completes after the last close', async () => {
  const device = await LoopDevice.attach({ file: image() })
  const fd = openSync(device.path, 'r')
  const fault = await expectCode(device.detach({ timeoutMs: 50 }), 'DM_BUSY')
  expect(fault.holders).toContainEqual(expect.objectContaining({ kind: 'process', pid: process.pid }))
  closeSync(fd)
  await device.detach()
  expect(markedLoops()).toEqual([])
  await device.detach()
  await expectCode(device.refresh(), 'DM_KERNEL').then(({ errno }) => expect(errno).toBe(6))
})

test('attach() of an invalid file or with invalid options leaves nothing attached', async () => {
  const file = image()
  await expectCode(LoopDevice.attach({ file: scratch.path('gone') }), 'DM_FILE_MISSING')
  for (const options of [
    { file: '' },
    { file: 'a\0b' },
    { file, offsetBytes: 100 },
    { file, sizeLimitBytes: -512 },
    { file, blockSizeBytes: 8192 },
    { file, readOnly: 'yes' },
    { file, autoClear: true },
  ]) {
    await expectCode(LoopDevice.attach(options as LoopAttachOptions), 'DM_INVALID_ARGUMENT')
  }
  const folder = await LoopDevice.attach({ file: scratch.path('.') }).catch((fault: unknown) => fault)
  expect(folder).toMatchObject({ name: 'DmThinError', errno: expect.any(Number) as number })
  const strange = await LoopDevice.attach({ file, blockSizeBytes: 1536 }).catch((fault: unknown) => fault)
  expect(strange).toMatchObject({ name: 'DmThinError', errno: 22 })
  expect(markedLoops()).toEqual([])
})
