// Scenario                                                  Test
// L  node fallback where there is no udev                   links lead to the pool and to its …
// L  the link goes although the removal was deferred        a busy device keeps its link until it is …
// leftovers of a killed process; what is not ours           a stale link is replaced, and a file …
// with udev the links are udev's                            links lead to the pool and …
// @udev both
import { existsSync, lstatSync, readlinkSync, statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { MiB, ThinPool, volumesOf } from '../../../lib/entry/index.js'
import { MappedDevice, zero } from '../../../lib/entry/kernel.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { snapshotKernelState } from '../../helpers/kernel/kernel-state.js'
import { withPool } from '../../helpers/pool/pools.js'
import { mapperLinks } from '../../../lib/kernel/mapper-links.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run } from '../../helpers/process/spawned.js'
import { dmInfo } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()
const withUdev = existsSync('/run/udev/control')
const small = [zero({ lengthSectors: 8 })]

const placeOf = (name: string) => `/dev/mapper/${name}`
/** The link's text, once udev, where there is one, has done what it was told of. */
function linkOf(name: string): string | undefined {
  if (withUdev) run('udevadm', ['settle'])
  return lstatSync(placeOf(name), { throwIfNoEntry: false }) && readlinkSync(placeOf(name))
}
const rightLink = (name: string) => `../dm-${dmInfo(name)!.number.split(':')[1]}`

test('links lead to the pool and to its active volumes, and are removed with them, also by other programs', async () => {
  await withPool({ mapperLinks: true }, async (pool, { name }) => {
    expect(linkOf(name)).toBe(rightLink(name))
    const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    const copies = volumesOf(await pool.activateMany(volumesOf(await pool.snapshotMany(volume, 3))))
    for (const each of [volume, ...copies]) {
      expect(linkOf(each.name)).toBe(rightLink(each.name))
      expect(statSync(placeOf(each.name)).rdev).toBe(statSync(each.path).rdev)
    }
    await volume.deactivate()
    expect(linkOf(volume.name)).toBeUndefined()
    // By an object that was not told of links.
    const other = await ThinPool.open(name)
    await (await other.volume(copies[0]!.id)).deactivate()
    expect(linkOf(copies[0]!.name)).toBeUndefined()
    if (!withUdev) {
      const plain = await (await other.volume(volume.id, { sizeBytes: MiB })).activate()
      expect(linkOf(plain.name)).toBeUndefined()
    }
    await other.remove({ deactivate: true })
    for (const each of [name, volume.name, ...copies.map(copy => copy.name)]) expect(linkOf(each)).toBeUndefined()
  })
})

test('the link of a mapped device follows a rename, and is removed with the device', async () => {
  scratch.log.allow(/Unable to change name on mapped device/) // with udev it is the kernel that refuses
  const [one, two, three] = [scratch.name('one'), scratch.name('two'), scratch.name('three')]
  const device = await MappedDevice.create({ name: one, table: small, mapperLink: true })
  const other = await MappedDevice.create({ name: three, table: small, mapperLink: true })
  await device.rename(two)
  expect([linkOf(one), linkOf(two)]).toEqual([undefined, rightLink(two)])
  await expectCode(device.rename(three), 'DM_NAME_TAKEN')
  expect([linkOf(two), linkOf(three)]).toEqual([rightLink(two), rightLink(three)])
  await device.remove()
  await other.remove()
  expect([linkOf(two), linkOf(three)]).toEqual([undefined, undefined])
})

if (!withUdev) {
  test('a busy device keeps its link until it is removed', async () => {
    const name = scratch.name('busy')
    const device = await MappedDevice.create({ name, table: small, mapperLink: true })
    const holder = await MappedDevice.create({
      name: scratch.name('holder'),
      table: [{ lengthSectors: 8, type: 'linear', parameters: `${device.device} 0` }],
    })
    await expectCode(device.remove({ timeoutMs: 0 }), 'DM_BUSY')
    expect(linkOf(name)).toBe(rightLink(name))
    await holder.remove()
    await device.remove()
    expect(linkOf(name)).toBeUndefined()
  })

  test('a stale link is replaced, and a file that is not a link of this library is kept', async () => {
    const name = scratch.name('place')
    // A look in the same turn of the event loop must not be remembered: the link comes after it.
    mapperLinks.drop(name)
    symlinkSync('../dm-4711', placeOf(name))
    mapperLinks.make(name, 0)
    unlinkSync(placeOf(name))
    symlinkSync('../dm-4711', placeOf(name))
    const device = await MappedDevice.create({ name, table: small, mapperLink: true })
    expect(linkOf(name)).toBe(rightLink(name))
    const next = scratch.name('next')
    writeFileSync(placeOf(next), 'somebody’s')
    await expectCode(device.rename(next), 'DM_NAME_TAKEN')
    expect(dmInfo(name)).toMatchObject({ liveTable: true })
    await device.remove()
    const before = await snapshotKernelState()
    for (const make of [
      () => MappedDevice.create({ name: next, table: small, mapperLink: true }),
      () => withPool({ name: next, mapperLinks: true }, async () => {}),
    ]) {
      const fault = await expectCode(make(), 'DM_NAME_TAKEN')
      expect(fault).toMatchObject({ operation: 'symlink', device: placeOf(next) })
      expect(fault.message).toContain(placeOf(next))
      expect(fault.rollback).toContainEqual({ operation: 'DM_DEV_REMOVE', device: next, errno: 0 })
      expect(await snapshotKernelState()).toBe(before)
    }
    unlinkSync(placeOf(next))
    symlinkSync('/dev/null', placeOf(next))
    await withPool({ mapperLinks: true }, async pool => {
      const volume = await pool.createVolume({ sizeBytes: MiB, name: next })
      const fault = await expectCode(volume.activate(), 'DM_NAME_TAKEN')
      expect(fault.rollback).toEqual([{ operation: 'DM_DEV_REMOVE', device: next, errno: 0 }])
      expect(volume.active).toBe(false)
      const [result] = await pool.activateMany([volume])
      expect(result).toMatchObject({ status: 'rejected', reason: { code: 'DM_NAME_TAKEN' } })
      expect(dmInfo(next)).toBeUndefined()
    })
    expect(readlinkSync(placeOf(next))).toBe('/dev/null')
    unlinkSync(placeOf(next))
  })
}
