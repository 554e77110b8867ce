// Event numbers, waiting for them, and the descriptor that tells of all. drivers/md/dm.c, dm-thin.c
import { setTimeout as sleep } from 'node:timers/promises'
import { MiB, ThinPool } from '../../lib/entry/index.js'
import { BLOCK, content, errnoOf, line, withDevice, withPool, type Case } from './machine.js'

export const EVENTS: readonly Case[] = [
  {
    title: 'creating, loading, suspending and messages raise no event of the device',
    run: machine =>
      withPool(machine, async ({ pool, name, eventNumber }) => {
        expect(await eventNumber()).toBe(0)
        const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
        await volume.snapshot()
        await machine.port.suspend({ name }, 0)
        await machine.port.resume({ name })
        expect(await eventNumber()).toBe(0)
        expect((await machine.port.deviceStatus({ name: volume.name })).eventNumber).toBe(0)
      }),
  },
  {
    title: 'rename raises an event of a device with a live table',
    run: machine =>
      withDevice(machine, async ({ name, device }) => {
        await machine.port.rename(name, machine.name('renamed'))
        expect((await machine.port.deviceStatus({ device })).eventNumber).toBe(1)
      }),
  },
  {
    title: 'the low-water event is raised once, one allocation late, and again only after a resume of the pool',
    run: machine =>
      withPool(
        machine,
        async ({ pool, name, eventNumber }) => {
          const volume = await (await pool.createVolume({ sizeBytes: 4 * MiB })).activate()
          const write = async (block: number) => {
            await machine.write(volume.path, block * BLOCK, content(1))
            return eventNumber()
          }
          await machine.write(volume.path, 0, content(1, 10 * BLOCK))
          const before = await eventNumber()
          expect([await write(10), await write(11), await write(12), await write(13)].map(now => now - before)).toEqual(
            [0, 0, 1, 1],
          )
          await machine.port.suspend({ name }, 0)
          await machine.port.resume({ name })
          expect((await write(14)) - before).toBe(2)
        },
        { lowWaterMarkBlocks: 4 },
      ),
  },
  {
    title: 'running out of space and freeing space raise events',
    run: machine =>
      withPool(
        machine,
        async ({ pool, eventNumber }) => {
          const volume = await (await pool.createVolume({ sizeBytes: 4 * MiB })).activate()
          await machine.write(volume.path, 0, content(1, 16 * BLOCK))
          const before = await eventNumber()
          expect(await machine.writeDirect(volume.path, 20)).toBe('ENOSPC')
          const full = await eventNumber()
          expect(full - before).toBe(2)
          await volume.destroy()
          expect((await eventNumber()) - full).toBe(1)
        },
        { errorIfNoSpace: true },
      ),
  },
  {
    title: 'a pool that starts read-only has had one event, for its mode',
    run: machine =>
      withPool(machine, async ({ pool, reopen }) => {
        await pool.remove()
        const again = await ThinPool.open({ ...reopen, readOnly: true })
        expect((await machine.port.deviceStatus({ name: again.name })).eventNumber).toBe(1)
      }),
  },
  {
    title: 'wait resolves at once if the event number differs, with the current state of the device',
    run: machine =>
      withDevice(machine, async ({ device, name }) => {
        const to = machine.name('renamed')
        await machine.port.rename(name, to)
        const { info, targets } = await machine.port.wait({ device }, 0, 0)
        expect(info).toMatchObject({ name: to, eventNumber: 1 })
        expect(targets).toMatchObject([{ type: 'zero' }])
      }),
  },
  {
    title: 'wait resolves at the event',
    run: machine =>
      withDevice(machine, async ({ device, name }) => {
        const waiting = machine.port.wait({ device }, 0, 0)
        // The event comes before the call has asked for the device under its new name.
        const renamed = sleep(20).then(() => machine.port.rename(name, machine.name('renamed')))
        expect((await waiting).info.eventNumber).toBe(1)
        await renamed
      }),
  },
  {
    title: 'wait resolves when the device is removed, with the number of that event',
    run: async machine => {
      const own = machine.name('removed')
      const { device } = await machine.port.activate({ name: own, uuid: '', table: [line('zero')] })
      const waiting = machine.port.wait({ device }, 0, 0)
      setTimeout(() => void machine.port.remove({ name: own }, 5_000).catch(() => {}), 20)
      expect((await waiting).info.eventNumber).toBe(1)
      while ((await errnoOf(machine.port.deviceStatus({ name: own }))) === 0) await new Promise(setImmediate)
    },
  },
  {
    title: 'wait can be aborted',
    run: machine =>
      withDevice(machine, async ({ device }) => {
        const giveUp = new AbortController()
        const waiting = machine.port.wait({ device }, 0, 0, giveUp.signal)
        setTimeout(() => giveUp.abort(), 20)
        await expect(waiting).rejects.toMatchObject({ code: 'ABORT_ERR' })
      }),
  },
  {
    title: 'pollEvents wakes for a device that is created or removed, and not for changes before it was armed',
    run: async machine => {
      const { port } = machine
      const events = port.openEvents()
      const own = machine.name('watched')
      await port.armEvents(events)
      await port.create(own, '')
      await port.pollEvents(events)
      const after = await port.nextList(events, { name: own }, false)
      expect(after.map(({ name }) => name)).toEqual([own])
      await port.remove({ name: own }, 5_000)
      expect(await port.nextList(events, { name: own }, true)).toEqual([])
      await port.release(events)
    },
  },
]
