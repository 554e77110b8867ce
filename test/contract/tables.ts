// Loading, making live, clearing, reading tables. drivers/md/dm-ioctl.c, dm-table.c
import { DEVICE_FLAG, TABLE_FLAG } from '../../lib/kernel/port/device-port.js'
import { content, errnoOf, line, nodeOf, numberOf, withDevice, withLoops, type Case } from './machine.js'

const { activeTable, inactiveTable, readOnly, suspended } = DEVICE_FLAG
const KiB = 1024

export const TABLES: readonly Case[] = [
  {
    title: 'a loaded table is inactive until the resume, which makes it live',
    run: async ({ port, name }) => {
      const own = { name: name('device') }
      const bits = (flags: number) => flags & (activeTable | inactiveTable)
      await port.create(own.name, '')
      expect(bits((await port.tableLoad(own, [line('error')], 0)).flags)).toBe(inactiveTable)
      expect(await port.tableStatus(own, TABLE_FLAG.table)).toEqual([])
      await port.resume(own)
      expect(bits((await port.deviceStatus(own)).flags)).toBe(activeTable)
      expect(await port.tableStatus(own, TABLE_FLAG.table)).toEqual([line('error')])
      await port.remove(own, 5_000)
    },
  },
  {
    title: 'the inactive table is read with a flag, and can be cleared',
    run: machine =>
      withDevice(machine, async ({ name }) => {
        const { port } = machine
        await port.tableLoad({ name }, [line('error', '', 16), line('zero', '', 8, 16)], 0)
        const inactive = TABLE_FLAG.table | TABLE_FLAG.inactive
        expect(await port.tableStatus({ name }, inactive)).toHaveLength(2)
        expect(await port.deviceStatus({ name }, undefined, TABLE_FLAG.inactive)).toMatchObject({ targetCount: 2 })
        expect(await port.deviceStatus({ name })).toMatchObject({ targetCount: 1 })
        await port.tableClear({ name })
        expect((await port.deviceStatus({ name })).flags & inactiveTable).toBe(0)
        expect(await port.tableStatus({ name }, inactive)).toEqual([])
      }),
  },
  {
    title: 'tableClear succeeds if no table was loaded',
    run: machine => withDevice(machine, async ({ name }) => void (await machine.port.tableClear({ name }))),
  },
  {
    title: 'a second tableLoad replaces the first',
    run: machine =>
      withDevice(machine, async ({ name }) => {
        await machine.port.tableLoad({ name }, [line('error', '', 16)], 0)
        await machine.port.tableLoad({ name }, [line('error', '', 24)], 0)
        await machine.port.resume({ name })
        expect(await machine.port.tableStatus({ name }, TABLE_FLAG.table)).toEqual([line('error', '', 24)])
      }),
  },
  {
    title:
      'a table without targets, without length, with a gap or an unknown target fails with EINVAL, and the live table stays',
    run: machine =>
      withDevice(machine, async ({ name }) => {
        const load = (...table: Parameters<typeof line>[]) =>
          errnoOf(
            machine.port.tableLoad(
              { name },
              table.map(each => line(...each)),
              0,
            ),
          )
        expect([
          await load(),
          await load(['error', '', 0]),
          await load(['error', '', 8], ['error', '', 8, 16]),
          await load(['no-such-target']),
          await load(['zero', 'word']),
        ]).toEqual([22, 22, 22, 22, 22])
        expect(await machine.port.tableStatus({ name }, TABLE_FLAG.table)).toEqual([line('zero')])
        expect((await machine.port.deviceStatus({ name })).flags & inactiveTable).toBe(0)
      }),
  },
  {
    title: 'activate with an invalid table rejects with DM_TABLE_REFUSED, the failed step and the rollback',
    run: async ({ port, name }) => {
      const own = name('refused')
      const request = { name: own, uuid: '', table: [line('zero', 'word')] }
      const fault: unknown = await port.activate(request).catch((refusal: unknown) => refusal)
      expect(fault).toMatchObject({
        code: 'DM_TABLE_REFUSED',
        operation: 'DM_TABLE_LOAD',
        errno: 22,
        detail: 'zero word',
        rollback: [{ operation: 'DM_DEV_REMOVE', device: own, errno: 0 }],
      })
      expect(await errnoOf(port.deviceStatus({ name: own }))).toBe(6)
    },
  },
  {
    title: 'a linear target fails to load if its device is missing or not a block device',
    run: machine =>
      withLoops(machine, [64 * KiB], async ([number], [file]) => {
        await withDevice(machine, async ({ name }) => {
          const load = (parameters: string, sectors = 8) =>
            errnoOf(machine.port.tableLoad({ name }, [line('linear', parameters, sectors)], 0))
          expect({
            fits: await load(`${number} 120`),
            noNumber: await load('240:9999 0'),
            noPath: await load(`${machine.path('none')} 0`),
            file: await load(`${file} 0`),
            noStart: await load(`${number}`),
            oddStart: await load(`${number} x`),
          }).toEqual({ fits: 0, noNumber: 6, noPath: 2, file: 15, noStart: 22, oddStart: 22 })
        })
      }),
  },
  {
    title:
      'a linear target longer than its device fails at the first load; later at the resume, which leaves it suspended',
    run: machine =>
      withLoops(machine, [64 * KiB], async ([number]) => {
        const tooLong = [line('linear', `${number} 121`)]
        const fresh = machine.name('fresh')
        await machine.port.create(fresh, '')
        expect(await errnoOf(machine.port.tableLoad({ name: fresh }, tooLong, 0))).toBe(22)
        await machine.port.remove({ name: fresh }, 5_000)
        await withDevice(machine, async ({ name }) => {
          await machine.port.tableLoad({ name }, tooLong, 0)
          expect(await errnoOf(machine.port.resume({ name }))).toBe(22)
          const { flags } = await machine.port.deviceStatus({ name })
          expect(flags & (activeTable | inactiveTable | suspended)).toBe(activeTable | suspended)
          expect(await machine.port.tableStatus({ name }, TABLE_FLAG.table)).toEqual([line('zero')])
          await machine.port.resume({ name })
        })
      }),
  },
  {
    title: 'linear targets are read as one device, and the dependencies are the devices below',
    run: machine =>
      withLoops(machine, [64 * KiB, 64 * KiB], async ([a, b]) => {
        await machine.write(`/dev/loop${a!.slice(2)}`, 0, content(1, 4 * KiB))
        await machine.write(`/dev/loop${b!.slice(2)}`, 4 * KiB, content(2, 4 * KiB))
        const table = [line('linear', `${b} 8`), line('linear', `${a} 0`, 8, 8), line('zero', '', 8, 16)]
        await withDevice(
          machine,
          async ({ name, device }) => {
            expect(await machine.port.tableStatus({ name }, TABLE_FLAG.table)).toEqual(table)
            const deps = await machine.port.tableDeps({ name })
            expect(deps.map(numberOf).sort()).toEqual([a, b].sort())
            const bytes = await machine.read(nodeOf(device), 0, 12 * KiB)
            expect([0, 4 * KiB, 8 * KiB].map(at => bytes[at])).toEqual([2, 1, 0])
          },
          table,
        )
      }),
  },
  {
    title: 'a device that another table uses has an opener, and cannot be removed',
    run: machine =>
      withDevice(machine, async ({ name, device }) => {
        await withDevice(machine, async () => {
          expect((await machine.port.deviceStatus({ name })).openCount).toBe(1)
          expect(await errnoOf(machine.port.remove({ name }, 0))).toBe(16)
        }, [line('linear', `${numberOf(device)} 0`)])
        expect((await machine.port.deviceStatus({ name })).openCount).toBe(0)
      }),
  },
  {
    title: 'an inactive table holds the devices that it uses',
    run: machine =>
      withDevice(machine, async below => {
        await withDevice(machine, async ({ name }) => {
          await machine.port.tableLoad({ name }, [line('linear', `${numberOf(below.device)} 0`)], 0)
          expect(await errnoOf(machine.port.remove({ name: below.name }, 0))).toBe(16)
          expect(await machine.port.tableDeps({ name })).toEqual([])
          expect(await machine.port.tableDeps({ name }, undefined, TABLE_FLAG.inactive)).toEqual([below.device])
        })
      }),
  },
  {
    title: 'a table that is loaded read-only makes the device read-only',
    run: async machine => {
      const own = machine.name('ro')
      const info = await machine.port.activate({ name: own, uuid: '', table: [line('zero', '', 128)], readOnly: true })
      expect(info.flags & readOnly).toBe(readOnly)
      expect(await machine.writeDirect(nodeOf(info.device), 0)).not.toBe('')
      await machine.port.remove({ name: own }, 5_000)
    },
  },
  {
    title: 'the target error fails every read and write; zero reads zeros and discards writes',
    run: async machine => {
      await withDevice(
        machine,
        async ({ device }) => {
          expect(await machine.writeDirect(nodeOf(device), 0)).toBe('EIO')
          await expect(machine.read(nodeOf(device), 0, 4096)).rejects.toMatchObject({ code: 'EIO' })
        },
        [line('error', '', 128)],
      )
      await withDevice(
        machine,
        async ({ device }) => {
          expect(await machine.writeDirect(nodeOf(device), 0)).toBe('')
          expect((await machine.read(nodeOf(device), 0, 4096)).every(byte => byte === 0)).toBe(true)
        },
        [line('zero', '', 128)],
      )
    },
  },
  {
    title: 'the status lines of error, zero and linear are empty',
    run: machine =>
      withLoops(machine, [64 * KiB], async ([number]) => {
        const table = [line('error'), line('zero', '', 8, 8), line('linear', `${number} 0`, 8, 16)]
        await withDevice(
          machine,
          async ({ name }) => {
            const lines = await machine.port.tableStatus({ name }, 0)
            expect(lines.map(each => each.parameters.trim())).toEqual(['', '', ''])
          },
          table,
        )
      }),
  },
  {
    title: 'a message to a target without messages, an empty one, and one past the end fail with EINVAL',
    run: machine =>
      withDevice(machine, async ({ name }) => {
        const send = (sector: number, text: string) => errnoOf(machine.port.targetMessage({ name }, sector, text))
        expect([await send(0, 'hello'), await send(0, ''), await send(99, 'hello')]).toEqual([22, 22, 22])
      }),
  },
  {
    title: '@cancel_deferred_remove accepts no more words, and unknown @ messages go to the target',
    run: machine =>
      withDevice(machine, async ({ name }) => {
        const send = (text: string) => errnoOf(machine.port.targetMessage({ name }, 0, text))
        expect([
          await send('@cancel_deferred_remove'),
          await send('@CANCEL_deferred_remove'),
          await send('@cancel_deferred_remove now'),
          await send('@unheard_of'),
        ]).toEqual([0, 0, 22, 22])
      }),
  },
  {
    title: 'resume of a running device makes its new table live without a suspend before',
    run: machine =>
      withDevice(machine, async ({ name }) => {
        await machine.port.tableLoad({ name }, [line('error', '', 16)], 0)
        const { flags } = await machine.port.resume({ name })
        expect(flags & (activeTable | inactiveTable | suspended)).toBe(activeTable)
      }),
  },
]
