// The devices of the volumes of a pool: what the calls return that list many of them.
import { MiB } from '../../lib/entry/index.js'
import { DEVICE_FLAG, TABLE_FLAG } from '../../lib/kernel/port/device-port.js'
import { THIN_STATE } from '../../lib/kernel/port/pool-port.js'
import { volumeUuidPrefix } from '../../lib/pool/state/context.js'
import { BLOCK, content, errnoOf, line, withPool, type Case } from './machine.js'

export const INVENTORY: readonly Case[] = [
  {
    title: 'inventory returns a pool with the devices of volumes, whoever made them, and those without a table',
    run: machine =>
      withPool(machine, async ({ pool, device, numbers }) => {
        const { port } = machine
        const active = await (await pool.createVolume({ sizeBytes: MiB })).activate()
        const suspended = await (await pool.createVolume({ sizeBytes: 2 * MiB })).activate()
        await pool.createVolume({ sizeBytes: MiB, id: 7 })
        const before = await port.deviceStatus({ device })
        const prefix = volumeUuidPrefix(before)
        const [foreign, half] = [machine.name('foreign'), machine.name('half')]
        await port.activate({ name: foreign, uuid: '', table: [line('thin', `${numbers.pool} 7`, 2048)] })
        await port.create(half, `${prefix}9`)
        await port.suspend({ name: suspended.name }, 0)
        const found = await port.inventory({ name: pool.name })
        expect(found.pool).toEqual({ ...before, openCount: before.openCount + 1 })
        expect(found.table).toEqual(await port.tableStatus({ device }, TABLE_FLAG.table | TABLE_FLAG.noflush))
        expect(found.status).toEqual(await port.tableStatus({ device }, TABLE_FLAG.noflush))
        const { suspended: held, activeTable } = DEVICE_FLAG
        const shown = found.thins.map(({ id, name, uuid, line, flags }) => ({
          is: [id, name, uuid, line?.lengthSectors, line?.parameters.trim()],
          has: [(flags & held) !== 0, (flags & activeTable) !== 0],
        }))
        expect(shown.sort((a, b) => Number(a.is[0]) - Number(b.is[0]))).toEqual([
          { is: [0, active.name, `${prefix}0`, 2048, `${numbers.pool} 0`], has: [false, true] },
          { is: [1, suspended.name, `${prefix}1`, 4096, `${numbers.pool} 1`], has: [true, true] },
          { is: [7, foreign, '', 2048, `${numbers.pool} 7`], has: [false, true] },
          { is: [9, half, `${prefix}9`, undefined, undefined], has: [false, false] },
        ])
        await port.resume({ name: suspended.name })
        for (const name of [foreign, half]) await port.remove({ name }, 5_000)
        expect(await errnoOf(port.inventory({ name: foreign }))).toBe(6)
      }),
  },
  {
    title: 'activeThins lists the active thins of this library and of other programs',
    run: machine =>
      withPool(machine, async ({ pool, device, numbers }) => {
        const [first, second] = [
          await pool.createVolume({ sizeBytes: MiB }),
          await pool.createVolume({ sizeBytes: MiB }),
        ]
        await first.activate()
        const foreign = machine.name('foreign')
        const table = [line('thin', `${numbers.pool} ${second.id}`, 2048)]
        await machine.port.activate({ name: foreign, uuid: '', table })
        const active = await machine.port.activeThins(device)
        expect(active.map(({ name, id }) => [name, id]).sort()).toEqual(
          [
            [first.name, 0],
            [foreign, 1],
          ].sort(),
        )
        const others = await machine.port.foreignThins(
          device,
          volumeUuidPrefix(await machine.port.deviceStatus({ device })),
        )
        expect(others.map(({ name, id }) => [name, id])).toEqual([[foreign, 1]])
      }),
  },
  {
    title: 'statusMany returns the status of each volume in numbers, and the state other for one that does not exist',
    run: machine =>
      withPool(machine, async ({ pool, device }) => {
        const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
        const prefix = volumeUuidPrefix(await machine.port.deviceStatus({ device }))
        const status = async () => [...(await machine.port.statusMany(prefix, Uint32Array.of(0, 77)))]
        const none = [THIN_STATE.other, 0, 0, -1]
        expect(await status()).toEqual([THIN_STATE.active, 2048, 0, -1, ...none])
        await machine.write(volume.path, 3 * BLOCK, content(1))
        expect(await status()).toEqual([THIN_STATE.active, 2048, 128, 511, ...none])
      }),
  },
]
