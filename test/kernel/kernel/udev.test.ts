// Scenario                                                  Test
// D  semget_create_destroy, notify_sem_create_destroy       1 000 cycles leave the number of …
// D  udevsync_primary_source_end, _cancel, _end_no_uevent   links exist when the …; a transaction that is …; finish() does not wait …
// D  udevsync_no_udev_running_all_sync_cmds                 a transaction without udevd …
// D  thindev basic_udev: links follow                       links exist when the …; links by file-system uuid are …
// D  the wait is unbounded                                  finish() ends after its …
// moby#33603 leaked cookie semaphores                       1 000 cycles leave the …; a new transaction removes …
// @udev both
import { randomUUID } from 'node:crypto'
import { closeSync, existsSync, openSync, readdirSync, readlinkSync } from 'node:fs'
import { DeviceMapper, thin } from '../../../lib/entry/kernel.js'
import { MiB } from '../../../lib/entry/index.js'
import { nativePort } from '../../../lib/kernel/native-port.js'
import { runChild } from '../../helpers/process/children.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { withPool } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run } from '../../helpers/process/spawned.js'
import { cookieSemaphores, dmInfo } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()
let dm: DeviceMapper
beforeAll(async () => {
  dm = await DeviceMapper.open()
})
const withUdev = existsSync('/run/udev/control')
const zero = [{ lengthSectors: 8, type: 'zero', parameters: '' }]
const semaphores = cookieSemaphores
const lockFiles = () =>
  existsSync('/run/dm-thin') ? readdirSync('/run/dm-thin').filter(name => name.startsWith('cookie-')) : []
const linkOf = (name: string) => (existsSync(`/dev/mapper/${name}`) ? readlinkSync(`/dev/mapper/${name}`) : undefined)

afterEach(() => {
  expect(semaphores()).toBe(0)
  expect(lockFiles()).toEqual([])
})

async function loaded(name: string): Promise<void> {
  await dm.create({ name })
  await dm.tableLoad(name, zero)
}

if (withUdev) {
  test('links exist when the transaction has finished, follow a rename, and are gone after the removal', async () => {
    const names = ['a', 'b', 'c'].map(label => scratch.name(label))
    const making = await dm.beginUdev()
    expect(making).toMatchObject({ synchronized: true, reason: undefined })
    for (const name of names) {
      await loaded(name)
      await dm.resume(name, { udev: making })
    }
    expect(semaphores()).toBe(1)
    await making.finish()
    for (const name of names) expect(linkOf(name)).toBe(`../dm-${dmInfo(name)!.number.split(':')[1]}`)
    const next = scratch.name('next')
    const renaming = await dm.beginUdev({ disableDiskRules: true })
    await dm.rename(names[0]!, next, { udev: renaming })
    await dm.setUuid(next, `${next}-uuid`, { udev: renaming })
    await renaming.finish()
    expect([linkOf(names[0]!), linkOf(next) === undefined]).toEqual([undefined, false])
    const removing = await dm.beginUdev()
    await Promise.all([next, ...names.slice(1)].map(name => dm.remove(name, { udev: removing, timeoutMs: 10_000 })))
    await removing.finish()
    for (const name of [next, ...names]) expect(linkOf(name)).toBeUndefined()
  })

  test('links by file-system uuid are made for devices with all udev rules, and not for volumes', async () => {
    await withPool(async (pool, files) => {
      const volume = await (await pool.createVolume({ sizeBytes: 16 * MiB })).activate()
      const uuid = randomUUID()
      const link = `/dev/disk/by-uuid/${uuid}`
      run('mkfs.ext4', ['-q', '-U', uuid, volume.path])
      run('udevadm', ['settle'])
      expect(existsSync(link)).toBe(false)
      await volume.deactivate()
      const name = scratch.name('thin')
      await dm.create({ name })
      const poolDevice = dmInfo(files.name)!.number
      await dm.tableLoad(name, [thin({ lengthSectors: (16 * MiB) / 512, poolDevice, id: volume.id })])
      const making = await dm.beginUdev()
      await dm.resume(name, { udev: making })
      await making.finish()
      expect(readlinkSync(link)).toBe(`../../dm-${dmInfo(name)!.number.split(':')[1]}`)
      const removing = await dm.beginUdev()
      await dm.remove(name, { udev: removing, timeoutMs: 10_000 })
      await removing.finish()
      expect(existsSync(link)).toBe(false)
    })
  })

  test('finish() does not wait for an ioctl that failed or raised no uevent', async () => {
    const name = scratch.name('quiet')
    await loaded(name)
    await dm.resume(name)
    run('udevadm', ['settle'])
    const holder = openSync((await dm.status(name)).path, 'r')
    const udev = await dm.beginUdev()
    await expectCode(dm.remove(name, { udev }), 'DM_BUSY')
    await expectCode(dm.resume(scratch.name('none'), { udev }), 'DM_NOT_FOUND')
    expect(await dm.remove(name, { udev, deferred: true })).toMatchObject({ ueventGenerated: false })
    await udev.finish()
    closeSync(holder)
    while (dmInfo(name)) await new Promise(setImmediate)
  })

  test('finish() ends after its timeout or an abort if udevd is stopped, and leaves no semaphore', async () => {
    const name = scratch.name('stopped')
    const pid = run('pidof', ['systemd-udevd', 'udevd']).trim().split(' ')[0]!
    await loaded(name)
    run('kill', ['-STOP', pid])
    try {
      const late = await dm.beginUdev()
      await dm.resume(name, { udev: late })
      const fault = await expectCode(late.finish({ timeoutMs: 100 }), 'DM_UDEV_TIMEOUT')
      expect(fault.errno).toBe(110)
      expect(semaphores()).toBe(0)
      const given = await dm.beginUdev()
      await dm.suspend(name)
      await dm.resume(name, { udev: given })
      const next = scratch.name('next')
      await dm.rename(name, next, { udev: given })
      await expectCode(given.finish({ signal: AbortSignal.timeout(100) }), 'ABORT_ERR')
      await dm.rename(next, name)
    } finally {
      run('kill', ['-CONT', pid])
    }
    run('udevadm', ['settle'])
    await dm.remove(name, { timeoutMs: 10_000 })
  })

  test('a transaction that is cancelled or disposed removes its semaphore', async () => {
    const udev = await dm.beginUdev()
    udev.cancel()
    await udev[Symbol.asyncDispose]()
    await expectCode(udev.finish(), 'DM_CLOSED')
    await expectCode(dm.resume('x', { udev }), 'DM_CLOSED')
    const other = await dm.beginUdev()
    expect(semaphores()).toBe(1)
    await other[Symbol.asyncDispose]()
  })

  test('a new transaction removes the semaphore of a killed process, and keeps that of a running one', async () => {
    const living = await dm.beginUdev()
    const path = JSON.stringify(require.resolve('../../../dist/entry/kernel.js'))
    await runChild(
      `const dm = await require(${path}).DeviceMapper.open(); await dm.beginUdev(); process.kill(process.pid, 'SIGKILL')`,
    ).catch(() => undefined)
    expect(semaphores()).toBe(2)
    const next = await dm.beginUdev()
    expect(semaphores()).toBe(2)
    await next[Symbol.asyncDispose]()
    expect(await nativePort().udevSweep()).toBe(0)
    expect(semaphores()).toBe(1)
    await living[Symbol.asyncDispose]()
  })

  test('1 000 cycles leave the number of semaphores unchanged', async () => {
    const name = scratch.name('cycle')
    await loaded(name)
    for (let round = 0; round < 1000; round++) {
      const udev = await dm.beginUdev()
      if (round % 100 === 0) await dm.resume(name, { udev })
      if (round % 3 === 0) await udev[Symbol.asyncDispose]()
      else await udev.finish()
    }
    expect(semaphores()).toBe(0)
    await dm.remove(name, { timeoutMs: 10_000 })
  })
} else {
  test('a transaction without udevd has no semaphore, waits for nothing, and reports the reason', async () => {
    const name = scratch.name('alone')
    const udev = await dm.beginUdev({ disableOtherRules: true })
    expect(udev).toMatchObject({ synchronized: false, reason: 'udevd does not run here' })
    await loaded(name)
    await dm.resume(name, { udev })
    expect(semaphores()).toBe(0)
    await udev.finish()
    expect(existsSync((await dm.status(name)).path)).toBe(true)
    await dm.remove(name)
    await expectCode(udev.finish(), 'DM_CLOSED')
  })

  test('1 000 cycles without udevd create no semaphore, and semaphores of killed processes are still removed', async () => {
    for (let round = 0; round < 1000; round++) await (await dm.beginUdev()).finish()
    expect(semaphores()).toBe(0)
    expect(await nativePort().udevSweep()).toBe(0)
    const handle = await nativePort().udevBegin()
    expect(semaphores()).toBe(1)
    await nativePort().release(handle)
  })
}

test('beginUdev and resume reject invalid options', async () => {
  await expectCode(dm.beginUdev({ wrong: true } as never), 'DM_INVALID_ARGUMENT')
  await expectCode(dm.resume('x', { udev: {} as never }), 'DM_INVALID_ARGUMENT')
})
