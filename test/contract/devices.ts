// Names, uuids, numbers; create, rename, remove, list. drivers/md/dm-ioctl.c
import { DEVICE_FLAG, REMOVE_FLAG } from '../../lib/kernel/port/device-port.js'
import { errnoOf, line, nodeOf, withDevice, type Case } from './machine.js'

const EBUSY = 16
const EINVAL = 22
const ENXIO = 6
const ENAMETOOLONG = 36

export const DEVICES: readonly Case[] = [
  {
    title: 'a new device has no table, no opener and event number 0',
    run: async ({ port, name }) => {
      const own = name('new')
      const info = await port.create(own, '')
      expect(info).toMatchObject({ name: own, uuid: '', targetCount: 0, openCount: 0, eventNumber: 0 })
      expect(info.flags & (DEVICE_FLAG.activeTable | DEVICE_FLAG.inactiveTable | DEVICE_FLAG.suspended)).toBe(0)
      await port.remove({ name: own }, 5_000)
    },
  },
  {
    title: 'name, uuid and number address the same device',
    run: machine =>
      withDevice(machine, async ({ name, uuid, device }) => {
        for (const address of [{ name }, { uuid }, { device }]) {
          expect(await machine.port.deviceStatus(address)).toMatchObject({ name, uuid, device, targetCount: 1 })
        }
      }),
  },
  {
    title: 'create with a name or uuid that exists fails with EBUSY, in every combination',
    run: machine =>
      withDevice(machine, async ({ name, uuid }) => {
        const other = machine.name('other')
        const found = []
        for (const [second, id] of [
          [name, ''],
          [name, uuid],
          [name, `${other}-uuid`],
          [other, uuid],
        ] as const) {
          found.push(await errnoOf(machine.port.create(second, id)))
        }
        expect(found).toEqual([EBUSY, EBUSY, EBUSY, EBUSY])
      }),
  },
  {
    title: 'several devices can have no uuid',
    run: async ({ port, name }) => {
      const names = [name('a'), name('b')]
      for (const each of names) await port.create(each, '')
      for (const each of names) await port.remove({ name: each }, 5_000)
    },
  },
  {
    title: 'create returns the requested minor number, and fails with ENXIO and DM_NAME_TAKEN if it is in use',
    run: async ({ port, name }) => {
      const [first, second] = [name('a'), name('b')]
      const minor = (77 & 0xff) | ((77 & ~0xff) << 12)
      expect(nodeOf((await port.create(first, '', undefined, minor)).device)).toBe('/dev/dm-77')
      await expect(port.create(second, '', undefined, minor)).rejects.toMatchObject({
        code: 'DM_NAME_TAKEN',
        errno: ENXIO,
      })
      await port.remove({ name: first }, 5_000)
    },
  },
  {
    title: 'create fails with EINVAL for a slash and with ENAMETOOLONG beyond 127 bytes of a name or 128 of a uuid',
    run: async ({ port, name }) => {
      const long = name('long').padEnd(127, 'x')
      await port.create(long, 'u'.repeat(128))
      await port.remove({ name: long }, 5_000)
      expect([
        await errnoOf(port.create(`${name('a')}/b`, '')),
        await errnoOf(port.create(`${long}x`, '')),
        await errnoOf(port.create(name('b'), 'u'.repeat(129))),
      ]).toEqual([EINVAL, ENAMETOOLONG, ENAMETOOLONG])
    },
  },
  {
    title: 'names can contain blanks and characters beyond ASCII',
    run: async ({ port, name }) => {
      const odd = `${name('a')} ü\\x`
      await port.create(odd, '')
      expect((await port.listDevices({ name: odd })).map(each => each.name)).toEqual([odd])
      await port.remove({ name: odd }, 5_000)
    },
  },
  {
    title: 'every call for a device that does not exist fails with ENXIO',
    run: async ({ port, name }) => {
      const nobody = { name: name('none') }
      const calls = [
        port.deviceStatus(nobody),
        port.deviceStatus({ uuid: nobody.name }),
        port.deviceStatus({ device: 0xfffff }),
        port.tableStatus(nobody, 0),
        port.tableDeps(nobody),
        port.tableClear(nobody),
        port.tableLoad(nobody, [line('zero')], 0),
        port.suspend(nobody, 0),
        port.resume(nobody),
        port.remove(nobody, 0),
        port.rename(nobody.name, name('to')),
        port.setUuid(nobody.name, name('uuid')),
        port.setGeometry(nobody, '1 1 1 0'),
        port.targetMessage(nobody, 0, 'hello'),
        port.wait(nobody, 0, 0),
      ]
      for (const found of await Promise.all(calls.map(errnoOf))) expect(found).toBe(ENXIO)
    },
  },
  {
    title: 'a lookup by a name that does not exist rejects with DM_NOT_FOUND, operation and device',
    run: async ({ port, name }) => {
      const none = name('none')
      const fault: unknown = await port.deviceStatus({ name: none }).catch((refusal: unknown) => refusal)
      expect(fault).toMatchObject({ code: 'DM_NOT_FOUND', operation: 'DM_DEV_STATUS', device: none })
    },
  },
  {
    title: 'rename frees the old name, and the new name addresses the device',
    run: machine =>
      withDevice(machine, async ({ name, device }) => {
        const to = machine.name('renamed')
        expect(await machine.port.rename(name, to)).toMatchObject({ name: to, device })
        expect(await errnoOf(machine.port.deviceStatus({ name }))).toBe(ENXIO)
      }),
  },
  {
    title: 'rename to a name that exists, its own included, fails with EBUSY',
    run: machine =>
      withDevice(machine, async first => {
        await withDevice(machine, async second => {
          expect(await errnoOf(machine.port.rename(first.name, second.name))).toBe(EBUSY)
          expect(await errnoOf(machine.port.rename(first.name, first.name))).toBe(EBUSY)
        })
      }),
  },
  {
    title: 'setUuid succeeds once: a second uuid fails with EINVAL, one that exists with EBUSY',
    run: async machine => {
      const { port, name } = machine
      const [own, uuid] = [name('bare'), name('uuid')]
      await port.create(own, '')
      expect(await port.setUuid(own, uuid)).toMatchObject({ name: own, uuid })
      expect(await errnoOf(port.setUuid(own, name('uuid')))).toBe(EINVAL)
      const other = name('other')
      await port.create(other, '')
      expect(await errnoOf(port.setUuid(other, uuid))).toBe(EBUSY)
      await port.remove({ name: own }, 5_000)
      await port.remove({ name: other }, 5_000)
    },
  },
  {
    title: 'remove of an open device fails with EBUSY, and rejects with DM_BUSY and the number of tries',
    run: machine =>
      withDevice(machine, async ({ name, device }) => {
        const close = machine.hold(nodeOf(device))
        expect((await machine.port.deviceStatus({ name })).openCount).toBe(1)
        const fault: unknown = await machine.port.remove({ name }, 0).catch((refusal: unknown) => refusal)
        expect(fault).toMatchObject({ code: 'DM_BUSY', errno: EBUSY, tries: 1, operation: 'DM_DEV_REMOVE' })
        close()
      }),
  },
  {
    title: 'remove retries until the device is closed',
    run: async machine => {
      const own = machine.name('held')
      const { device } = await machine.port.activate({ name: own, uuid: '', table: [line('zero')] })
      const close = machine.hold(nodeOf(device))
      const removing = machine.port.remove({ name: own }, 60_000)
      setTimeout(close, 50)
      await removing
      expect(await errnoOf(machine.port.deviceStatus({ name: own }))).toBe(ENXIO)
    },
  },
  {
    title: 'a deferred removal completes at the last close',
    run: async machine => {
      const own = machine.name('deferred')
      const { device } = await machine.port.activate({ name: own, uuid: '', table: [line('zero')] })
      const close = machine.hold(nodeOf(device))
      const info = await machine.port.remove({ name: own }, 0, undefined, true)
      expect(info.flags & DEVICE_FLAG.deferredRemove).toBe(DEVICE_FLAG.deferredRemove)
      expect((await machine.port.deviceStatus({ name: own })).flags & DEVICE_FLAG.deferredRemove).not.toBe(0)
      close()
      while ((await errnoOf(machine.port.deviceStatus({ name: own }))) === 0) await new Promise(setImmediate)
    },
  },
  {
    title: 'a deferred removal can be cancelled by a message',
    run: machine =>
      withDevice(machine, async ({ name, device }) => {
        const close = machine.hold(nodeOf(device))
        await machine.port.remove({ name }, 0, undefined, true)
        await machine.port.targetMessage({ name }, 0, '@cancel_deferred_remove')
        close()
        const { flags } = await machine.port.deviceStatus({ name })
        expect(flags & REMOVE_FLAG.deferred).toBe(0)
      }),
  },
  {
    title: 'listDevices filters by the beginning of names and uuids, and returns event numbers',
    run: async ({ port, name }) => {
      const names = [name('list-a'), name('list-b')]
      for (const each of names) await port.create(each, `${each}-uuid`)
      const listed = async (filter: { name?: string; uuid?: string }) =>
        (await port.listDevices(filter)).map(each => each.name)
      expect(await listed({ name: names[0]! })).toEqual([names[0]])
      expect(await listed({ uuid: `${names[1]}-u` })).toEqual([names[1]])
      expect(await listed({ name: name('nothing') })).toEqual([])
      const [first] = await port.listDevices({ name: names[0]! })
      expect(first).toMatchObject({ name: names[0], uuid: `${names[0]}-uuid`, eventNumber: 0 })
      for (const each of names) await port.remove({ name: each }, 5_000)
    },
  },
  {
    title:
      'setGeometry accepts four numbers, and fails with EINVAL for too few, too large ones, or a start past the end',
    run: machine =>
      withDevice(machine, async ({ name }) => {
        const set = (text: string) => errnoOf(machine.port.setGeometry({ name }, text))
        expect(await set('4 2 1 0')).toBe(0)
        expect([await set('4 2 1'), await set('70000 2 1 0'), await set('1 1 1 2')]).toEqual([EINVAL, EINVAL, EINVAL])
      }),
  },
  {
    title:
      'version has three numbers, listVersions contains the targets, and targetVersion of an unknown one fails with EINVAL',
    run: async ({ port }) => {
      expect(await port.version()).toHaveLength(3)
      const names = (await port.listVersions()).map(each => each.name)
      for (const type of ['thin-pool', 'thin', 'linear', 'error']) expect(names).toContain(type)
      expect(await port.targetVersion('thin-pool')).toMatchObject({ name: 'thin-pool' })
      expect(await errnoOf(port.targetVersion('no-such-target'))).toBe(EINVAL)
    },
  },
]
