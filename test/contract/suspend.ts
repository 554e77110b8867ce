// Suspend and resume, of devices and of pools with their thins. drivers/md/dm.c, dm-thin.c
import { MiB } from '../../lib/entry/index.js'
import { DEVICE_FLAG } from '../../lib/kernel/port/device-port.js'
import { content, errnoOf, line, nodeOf, withDevice, withPool, type Case, type Machine } from './machine.js'

const { suspended, internalSuspend } = DEVICE_FLAG
const bitsOf = async ({ port }: Machine, name: string): Promise<number> =>
  (await port.deviceStatus({ name })).flags & (suspended | internalSuspend)

export const SUSPEND: readonly Case[] = [
  {
    title: 'suspend and resume of a device succeed twice, and the second has no effect',
    run: machine =>
      withDevice(machine, async ({ name }) => {
        const found = []
        for (const down of [true, true, false, false]) {
          await (down ? machine.port.suspend({ name }, 0) : machine.port.resume({ name }))
          found.push(await bitsOf(machine, name))
        }
        expect(found).toEqual([suspended, suspended, 0, 0])
      }),
  },
  {
    title: 'a new device without a table can be resumed and suspended, and needs a table to be resumed afterwards',
    run: async machine => {
      const own = { name: machine.name('bare') }
      await machine.port.create(own.name, '')
      await machine.port.resume(own)
      await machine.port.suspend(own, 0)
      expect(await bitsOf(machine, own.name)).toBe(suspended)
      expect(await errnoOf(machine.port.resume(own))).toBe(22)
      await machine.port.tableLoad(own, [line('zero')], 0)
      await machine.port.resume(own)
      expect(await bitsOf(machine, own.name)).toBe(0)
      await machine.port.remove(own, 5_000)
    },
  },
  {
    title: 'a suspended device can be removed',
    run: async ({ port, name }) => {
      const own = name('down')
      await port.activate({ name: own, uuid: '', table: [line('zero')] })
      await port.suspend({ name: own }, 0)
      await port.remove({ name: own }, 5_000)
    },
  },
  {
    title: 'a write to a suspended device waits for the resume',
    run: machine =>
      withPool(machine, async ({ pool }) => {
        const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
        await machine.port.suspend({ name: volume.name }, 0)
        let done = false
        const writing = machine.write(volume.path, 0, content(7)).then(() => (done = true))
        for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
        expect(done).toBe(false)
        await machine.port.resume({ name: volume.name })
        await writing
        expect((await machine.read(volume.path, 0, 1))[0]).toBe(7)
      }),
  },
  {
    title: 'suspend of a pool suspends its thins internally, and its resume resumes them',
    run: machine =>
      withPool(machine, async ({ pool, name }) => {
        const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
        await machine.port.suspend({ name }, 0)
        expect([await bitsOf(machine, name), await bitsOf(machine, volume.name)]).toEqual([suspended, internalSuspend])
        await machine.port.resume({ name })
        expect([await bitsOf(machine, name), await bitsOf(machine, volume.name)]).toEqual([0, 0])
      }),
  },
  {
    title: 'loading a thin of a suspended pool fails with EINVAL, and activate() rejects with DM_POOL_SUSPENDED',
    run: machine =>
      withPool(machine, async ({ pool, name, numbers }) => {
        const idle = await pool.createVolume({ sizeBytes: MiB })
        await machine.port.suspend({ name }, 0)
        const request = { name: machine.name('thin'), uuid: '', table: [line('thin', `${numbers.pool} 0`, 2048)] }
        expect(await errnoOf(machine.port.activate(request))).toBe(22)
        await expect(idle.activate()).rejects.toMatchObject({ code: 'DM_POOL_SUSPENDED', errno: 22 })
      }),
  },
  {
    title: 'a suspended pool accepts messages',
    run: machine =>
      withPool(machine, async ({ pool, name, errnos }) => {
        await machine.port.suspend({ name }, 0)
        expect(await errnos(['create_thin 4', 'create_snap 5 4', 'delete 4', 'set_transaction_id 0 1'])).toEqual({
          'create_thin 4': 0,
          'create_snap 5 4': 0,
          'delete 4': 0,
          'set_transaction_id 0 1': 0,
        })
        await machine.port.resume({ name })
        expect((await pool.volumes()).map(({ id }) => id)).toEqual([5])
      }),
  },
  {
    title: 'a snapshot of an active volume of a suspended pool rejects with DM_POOL_SUSPENDED instead of waiting',
    run: machine =>
      withPool(machine, async ({ pool, name }) => {
        const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
        await machine.port.suspend({ name }, 0)
        await expect(volume.snapshot()).rejects.toMatchObject({ code: 'DM_POOL_SUSPENDED' })
        await machine.port.resume({ name })
        expect(await pool.volumes()).toHaveLength(1)
      }),
  },
  {
    title: 'a snapshot resumes its origin, and keeps it suspended if it was suspended before',
    run: machine =>
      withPool(machine, async ({ pool }) => {
        const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
        await volume.snapshot()
        expect(await bitsOf(machine, volume.name)).toBe(0)
        await machine.port.suspend({ name: volume.name }, 0)
        await volume.snapshot()
        expect(await bitsOf(machine, volume.name)).toBe(suspended)
        await machine.port.resume({ name: volume.name })
      }),
  },
  {
    title: 'a thin that was suspended itself stays suspended when its pool is resumed',
    run: machine =>
      withPool(machine, async ({ pool, name }) => {
        const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
        await machine.port.suspend({ name: volume.name }, 0)
        await machine.port.suspend({ name }, 0)
        await machine.port.resume({ name })
        expect(await bitsOf(machine, volume.name)).toBe(suspended)
        await machine.port.resume({ name: volume.name })
      }),
  },
  {
    title: 'a suspended device returns its status and its table',
    run: machine =>
      withDevice(machine, async ({ name, device }) => {
        await machine.port.suspend({ name }, 0)
        expect(await machine.port.tableStatus({ name }, 0x10)).toEqual([line('zero')])
        expect(nodeOf((await machine.port.deviceStatus({ name })).device)).toBe(nodeOf(device))
        await machine.port.resume({ name })
      }),
  },
]
