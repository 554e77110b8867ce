// Block devices, binds and mounted file systems: each call of the kernel made to fail, and abort in the middle of one.
// @udev both
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs'
import {
  bindMount,
  BlockDevice,
  detectFileSystem,
  freeze,
  GiB,
  growFileSystem,
  LoopDevice,
  MiB,
  mount,
  remount,
  setPropagation,
  thaw,
  trim,
  unmount,
  whileFrozen,
} from '../../../lib/entry/index.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import {
  attemptWith,
  EIO,
  expectNamed,
  failEach,
  stopAt,
  undone,
  useFaults,
  type Places,
} from '../../helpers/fault/fault.js'
import { markedMounts } from '../../helpers/kernel/kernel-state.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run } from '../../helpers/process/spawned.js'

const scratch = useScratch()
const hooks = useFaults()
const ENOTTY = 25

async function attached(bytes: number): Promise<LoopDevice> {
  const file = scratch.path(scratch.name('block'))
  writeFileSync(file, '')
  truncateSync(file, bytes)
  return LoopDevice.attach({ file })
}

async function withExt4(body: (target: string) => Promise<void>): Promise<void> {
  const loop = await attached(16 * MiB)
  run('mkfs.ext4', ['-q', loop.path])
  const target = scratch.path(scratch.name('mounted'))
  mkdirSync(target)
  await mount({ source: loop.path, target, type: 'ext4' })
  await body(target)
  await unmount(target)
  await loop.detach()
}

const frozenNow = async (target: string): Promise<boolean> => {
  const tried = await freeze(target).catch(() => undefined)
  await tried?.thaw()
  return tried === undefined
}

test('a failure of any call of an open device names the call, and the device is released', async () => {
  const loop = await attached(4 * MiB)
  const open = () => BlockDevice.open(loop.path)
  const opening: Places[] = [
    ['open', 1],
    ['statx', 2],
    ['open block device', 1],
    ['BLKGETSIZE64', 1],
    ['BLKSSZGET', 1],
    ['BLKPBSZGET', 1],
    ['BLKROGET', 1],
  ]
  await failEach(hooks, opening, open, outcome => expectNamed(outcome))
  const device = await open()
  const range = { offsetBytes: 0, lengthBytes: MiB }
  const calls: [string, () => Promise<unknown>][] = [
    ['BLKDISCARD', () => device.discard(range)],
    ['BLKSECDISCARD', () => device.secureDiscard(range)],
    ['BLKZEROOUT', () => device.zeroOut(range)],
    ['BLKROSET', () => device.setReadOnly(true)],
    ['fsync', () => device.flush()],
    ['BLKFLSBUF', () => device.flush({ dropCache: true })],
    ['BLKRRPART', () => device.rereadPartitions()],
    ['pread', () => device.read(0, MiB)],
    ['pwrite', () => device.write(0, Buffer.alloc(MiB))],
    ['pread', () => detectFileSystem(loop.path)],
  ]
  for (const [operation, call] of calls) expectNamed(await attemptWith(hooks, [operation, 1], call))
  await device.close()
  await loop.detach()
})

test('a read and a discard that fail partway report the bytes done', async () => {
  const loop = await attached(3 * GiB)
  const device = await BlockDevice.open(loop.path)
  const read = await attemptWith(hooks, ['pread', 3], () => device.read(0, 4 * MiB))
  expect(read.fault).toMatchObject({ code: 'DM_KERNEL', errno: EIO, detail: `${2 * MiB} of ${4 * MiB} bytes done` })
  const discard = () => device.discard({ offsetBytes: 0, lengthBytes: 3 * GiB })
  const failed = await attemptWith(hooks, ['BLKDISCARD', 2], discard)
  expect(failed.fault).toMatchObject({ errno: EIO, detail: `${GiB} of ${3 * GiB} bytes done` })
  const first = stopAt(hooks, ['BLKDISCARD', 1])
  const controller = new AbortController()
  const aborted = device.discard({ offsetBytes: 0, lengthBytes: 3 * GiB, signal: controller.signal })
  await first.reached(aborted)
  controller.abort()
  first.release()
  expect(await expectCode(aborted, 'ABORT_ERR')).toMatchObject({ detail: `${GiB} of ${3 * GiB} bytes done` })
  await device.close()
  await loop.detach()
})

test('a read-only bind mount whose second step fails is rolled back', async () => {
  await withExt4(async target => {
    const view = scratch.path(scratch.name('view'))
    mkdirSync(view)
    const bind = () => bindMount({ source: target, target: view, readOnly: true })
    const before = markedMounts()
    for (const operation of ['bind mount', 'statfs', 'remount']) {
      const outcome = await attemptWith(hooks, [operation, 1], bind)
      expectNamed(outcome)
      expect(undone(outcome)).toEqual(operation === 'bind mount' ? [] : ['umount2'])
      expect(markedMounts()).toEqual(before)
    }
    expectNamed(await attemptWith(hooks, ['remount', 1], () => remount(target, { readOnly: true })))
    expectNamed(await attemptWith(hooks, ['propagation', 1], () => setPropagation(target, 'private')))
    expectNamed(await attemptWith(hooks, ['umount2', 1], () => unmount(target)))
    expect(markedMounts()).toEqual(before)
  })
})

test('a freeze that fails leaves the file system thawed, and whileFrozen reports a failed thaw with the first error', async () => {
  await withExt4(async target => {
    for (const operation of ['open', 'FIFREEZE']) {
      expectNamed(await attemptWith(hooks, [operation, 1], () => freeze(target)))
      expect(await frozenNow(target)).toBe(false)
    }
    const unknown = await attemptWith(hooks, ['FIFREEZE', 1], () => freeze(target), { errno: ENOTTY })
    expect(unknown.fault).toMatchObject({ code: 'DM_UNSUPPORTED' })

    const frozen = await freeze(target)
    expectNamed(await attemptWith(hooks, ['FITHAW', 1], () => frozen.thaw()))
    expect(await frozenNow(target)).toBe(true)
    await frozen.thaw()
    expect(await frozenNow(target)).toBe(false)

    const cause = new Error('of the body')
    const failing = () => whileFrozen(target, () => Promise.reject(cause))
    hooks.setFault('FITHAW', 1, 'fail', EIO)
    await expect(failing()).rejects.toBe(cause) // the second try has thawed it
    expect(await frozenNow(target)).toBe(false)
    hooks.setFault('FITHAW', 1, 'fail', EIO)
    const both = await attemptWith(hooks, ['FITHAW', 1], failing)
    expect(both.fault).toMatchObject({ operation: 'FITHAW', errno: EIO, cause })
    await thaw(target).catch(() => {}) // the end of the descriptor may have done it
    expect(await frozenNow(target)).toBe(false)
  })
})

test('a freeze that is aborted while the kernel runs it is thawed', async () => {
  await withExt4(async target => {
    const stop = stopAt(hooks, ['FIFREEZE', 1])
    const controller = new AbortController()
    const freezing = freeze(target, { signal: controller.signal })
    await stop.reached(freezing)
    controller.abort()
    stop.release()
    const fault = await expectCode(freezing, 'ABORT_ERR')
    expect(fault.rollback).toEqual([{ operation: 'FITHAW', device: target, errno: 0 }])
    expect(await frozenNow(target)).toBe(false)
  })
})

test('a failure of trim and growFileSystem names the call', async () => {
  await withExt4(async target => {
    for (const operation of ['statfs', 'FITRIM']) {
      expectNamed(await attemptWith(hooks, [operation, 1], () => trim(target)))
    }
    const places: Places[] = [
      ['open', 1],
      ['statx', 1],
      ['statfs', 2],
      ['EXT4_IOC_RESIZE_FS', 1],
    ]
    await failEach(
      hooks,
      places,
      () => growFileSystem(target),
      outcome => expectNamed(outcome),
    )
  })
})
