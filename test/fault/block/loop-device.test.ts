// LoopDevice.attach: each step made to fail in turn, and the way of kernels that have no LOOP_CONFIGURE.
// @udev both
import { closeSync, existsSync, openSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { LoopDevice, MiB } from '../../../lib/entry/index.js'
import {
  attemptWith,
  EINVAL,
  EIO,
  ENOTTY,
  expectNamed,
  failEach,
  noneAfter,
  stopAt,
  undone,
  useFaults,
  type Places,
} from '../../helpers/fault/fault.js'
import { markedLoops, snapshotKernelState } from '../../helpers/kernel/kernel-state.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run } from '../../helpers/process/spawned.js'

const scratch = useScratch()
const hooks = useFaults()

let file: string
const attach = () =>
  LoopDevice.attach({ file, offsetBytes: MiB, sizeLimitBytes: 2 * MiB, directIo: true, blockSizeBytes: 4096 })

beforeEach(() => {
  file = scratch.path(scratch.name('loop'))
  writeFileSync(file, '')
  truncateSync(file, 8 * MiB)
})

const STEPS: Places[] = [
  ['open', 1],
  ['statx', 1],
  ['flock', 1],
  ['open loop-control', 1],
  ['flock loop-control', 1],
  ['LOOP_CTL_GET_FREE', 1],
  ['open loop', 2],
  ['LOOP_GET_STATUS64', 1],
]
const OLD_STEPS: Places[] = [
  ['LOOP_SET_FD', 1],
  ['LOOP_SET_STATUS64', 1],
  ['LOOP_SET_DIRECT_IO', 1],
  ['LOOP_SET_BLOCK_SIZE', 1],
]

const loopNumbers = () => readdirSync('/sys/block').flatMap(name => /^loop(\d+)$/.exec(name)?.[1] ?? [])

function ofLoop(number: string, name: 'backing_file' | 'autoclear'): string | undefined {
  try {
    return readFileSync(`/sys/block/loop${number}/loop/${name}`, 'utf8').trim()
  } catch {
    return undefined
  }
}

test('a failed attach resolves after the last holder has closed the device, and the file is not attached', async () => {
  const before = await snapshotKernelState()
  const look = stopAt(hooks, ['LOOP_GET_STATUS64', 1])
  const failing = attemptWith(hooks, ['LOOP_GET_STATUS64', 1], attach, { kind: 'fail-after' })
  await look.reached(failing)
  // As udev does. The kernel then detaches the device at its last close.
  const number = loopNumbers().find(each => ofLoop(each, 'backing_file') === file)!
  const node = openSync(`/dev/loop${number}`, 'r')
  look.release()
  while (ofLoop(number, 'autoclear') !== '1') await sleep(1)
  closeSync(node)
  expectNamed(await failing)
  expect(await snapshotKernelState()).toEqual(before)
})

test('a failure of attach at any step leaves the file detached', async () => {
  const places: Places[] = [...STEPS, ['LOOP_CONFIGURE', 1]]
  const before = await snapshotKernelState()
  await failEach(hooks, places, attach, async outcome => {
    expectNamed(outcome)
    expect([outcome.where, await snapshotKernelState()]).toEqual([outcome.where, before])
  })
  const device = await noneAfter(hooks, [...places, ...OLD_STEPS.map(([name]): Places => [name, 0])], attach)
  await device.detach()
})

/** Between the older calls the device is as large as the whole file, and udev may be reading its end when it shrinks. */
const allowEarlyLook = () => scratch.log.allow(/I\/O error, dev loop\d+, .*\(READ\)/)

test.each([ENOTTY, EINVAL])('attach without LOOP_CONFIGURE (errno %i) uses the older ioctls', async errno => {
  allowEarlyLook()
  const device = (await attemptWith(hooks, ['LOOP_CONFIGURE', 1], attach, { errno })).value!
  expect(markedLoops()).toEqual([{ name: device.path, file, autoclear: false, readOnly: false, offset: MiB }])
  const columns = run('losetup', ['--list', '--noheadings', '--output', 'SIZELIMIT,DIO,LOG-SEC', device.path])
  expect(columns.trim().split(/\s+/)).toEqual([String(2 * MiB), '1', '4096'])
  expect(device.info.sizeBytes).toBe(2 * MiB)
  await device.detach()
})

test('a failure of attach with the older ioctls at any step leaves the file detached', async () => {
  allowEarlyLook()
  const before = await snapshotKernelState()
  for (const place of OLD_STEPS) {
    hooks.setFault('LOOP_CONFIGURE', 1, 'fail', ENOTTY)
    const outcome = await attemptWith(hooks, place, attach)
    expectNamed(outcome)
    expect(undone(outcome)).toEqual(outcome.operation === 'LOOP_SET_FD' ? [] : ['LOOP_CLR_FD'])
    expect([outcome.where, await snapshotKernelState()]).toEqual([outcome.where, before])
  }
})

test('attach retries if an older kernel still has dirty pages of the device', async () => {
  const EAGAIN = 11
  hooks.setFault('LOOP_CONFIGURE', 1, 'fail', ENOTTY)
  for (let times = 0; times < 3; times++) hooks.setFault('LOOP_SET_STATUS64', 1, 'fail', EAGAIN)
  const device = await attach()
  expect(hooks.clearFaults()).toBe(0)
  await device.detach()
})

test('attach requests another free number if another process takes the first one', async () => {
  const EBUSY = 16
  for (let races = 0; races < 3; races++) hooks.setFault('LOOP_CONFIGURE', 1, 'fail', EBUSY)
  const device = await attach()
  expect(hooks.clearFaults()).toBe(0)
  await device.detach()
  expect(markedLoops()).toEqual([])
})

test('a failed detach names the call and leaves the device attached, and the next detach succeeds', async () => {
  const device = await attach()
  expectNamed(await attemptWith(hooks, ['LOOP_CLR_FD', 1], () => device.detach()), EIO)
  expect(markedLoops()).toHaveLength(1)
  await device.detach()
  expect(markedLoops()).toEqual([])
})

test('a failure of attach to a chosen number leaves neither the device nor the attachment', async () => {
  const number = 4713
  const chosen = () => LoopDevice.attach({ file, number })
  const before = await snapshotKernelState()
  const places: Places[] = [
    ['LOOP_CTL_ADD', 1],
    ['open loop', 2],
    ['LOOP_CONFIGURE', 1],
    ['LOOP_GET_STATUS64', 1],
  ]
  await failEach(hooks, places, chosen, async outcome => {
    expectNamed(outcome)
    if (outcome.operation !== 'LOOP_CTL_ADD') expect(undone(outcome)).toContain('LOOP_CTL_REMOVE')
    expect([outcome.where, await snapshotKernelState(), existsSync(`/sys/block/loop${number}`)]).toEqual([
      outcome.where,
      before,
      false,
    ])
  })
  const device = await noneAfter(hooks, places, chosen)
  await device.detach()
})

test('a loop device that is held open during the rollback is removed when its holder closes it', async () => {
  const number = 4714
  const node = `/dev/loop${number}`
  const open = stopAt(hooks, ['open loop', 1])
  const failing = attemptWith(hooks, ['LOOP_CONFIGURE', 1], () => LoopDevice.attach({ file, number }))
  await open.reached(failing)
  const fd = await openWhenThere(node)
  open.release()
  await sleep(300) // the kernel does not remove what is open
  closeSync(fd)
  const outcome = await failing
  expectNamed(outcome)
  expect(undone(outcome)).toContain('LOOP_CTL_REMOVE')
  expect(existsSync(`/sys/block/loop${number}`)).toBe(false)
})

test('a failed change of file or of direct I/O leaves the device unchanged', async () => {
  const other = scratch.path(scratch.name('other'))
  writeFileSync(other, '')
  truncateSync(other, 8 * MiB)
  const device = await LoopDevice.attach({ file, readOnly: true })
  const before = await snapshotKernelState()
  const places: Places[] = [
    ['flock', 1],
    ['LOOP_CHANGE_FD', 1],
  ]
  await failEach(
    hooks,
    places,
    () => device.changeFile(other),
    outcome => expectNamed(outcome),
  )
  expectNamed(await attemptWith(hooks, ['LOOP_SET_DIRECT_IO', 1], () => device.setDirectIo(true)))
  expect(await snapshotKernelState()).toBe(before)
  expect(device.file).toBe(file)
  await device.changeFile(other)
  await device.detach()
})

/** Once the kernel knows the device: its node is there a moment earlier, and answers ENXIO. */
async function openWhenThere(node: string): Promise<number> {
  for (;;) {
    try {
      return openSync(node, 'r')
    } catch (fault) {
      if (!['ENOENT', 'ENXIO'].includes((fault as NodeJS.ErrnoException).code!)) throw fault
      await sleep(5)
    }
  }
}
