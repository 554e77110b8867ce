// Tables of thins and pools: what is refused, and with which errno. drivers/md/dm-thin.c thin_ctr, pool_ctr
import { MiB, ThinPool } from '../../lib/entry/index.js'
import { TABLE_FLAG } from '../../lib/kernel/port/device-port.js'
import { volumeUuidPrefix } from '../../lib/pool/state/context.js'
import { BLOCK, content, errnoOf, line, numberOf, withDevice, withLoops, withPool, type Case } from './machine.js'

export const THINS: readonly Case[] = [
  {
    title:
      'a thin table fails with ENODATA for an unknown id, with ENXIO for a missing device, and otherwise with EINVAL',
    run: machine =>
      withPool(machine, async ({ pool, numbers }) => {
        await pool.createVolume({ sizeBytes: MiB })
        await withDevice(machine, async ({ name, device }) => {
          const load = (parameters: string) =>
            errnoOf(machine.port.tableLoad({ name: target }, [line('thin', parameters, 2048)], 0))
          const target = machine.name('target')
          await machine.port.create(target, '')
          expect({
            unknown: await load(`${numbers.pool} 77`),
            noPool: await load(`${numberOf(device)} 0`),
            noMapped: await load(`${numbers.data} 0`),
            noId: await load(numbers.pool),
            four: await load(`${numbers.pool} 0 ${numbers.data} 1`),
            large: await load(`${numbers.pool} 16777216`),
            oddId: await load(`${numbers.pool} one`),
            gone: await load('240:9999 0'),
          }).toEqual({ unknown: 61, noPool: 22, noMapped: 22, noId: 22, four: 22, large: 22, oddId: 22, gone: 6 })
          expect(name).not.toBe(target)
          await machine.port.remove({ name: target }, 5_000)
        })
      }),
  },
  {
    title: 'a thin-pool table fails with the errno of each cause',
    run: machine =>
      withPool(machine, async ({ numbers: { metadata, data } }) => {
        await withLoops(machine, [4 * MiB, MiB], async ([blank, small]) => {
          const own = machine.name('refused')
          await machine.port.create(own, '')
          const load = (parameters: string, sectors = 1024) =>
            errnoOf(machine.port.tableLoad({ name: own }, [line('thin-pool', parameters, sectors)], 0))
          expect({
            runningMetadata: await load(`${metadata} ${small} 128 0`),
            oneDevice: await load(`${blank} ${blank} 128 0`),
            block64: await load(`${blank} ${small} 64 0`),
            block185: await load(`${blank} ${small} 185 0`),
            blockLarge: await load(`${blank} ${small} 2097280 0`),
            noMark: await load(`${blank} ${small} 128 x`),
            feature: await load(`${blank} ${small} 128 0 1 fast`),
            fewFeatures: await load(`${blank} ${small} 128 0 2 read_only`),
            tooLong: await load(`${blank} ${small} 128 0`, 4096),
            noData: await load(`${blank} 240:9999 128 0`),
            noMetadata: await load(`240:9999 ${small} 128 0`),
            fewWords: await load(`${blank} ${small} 128`),
          }).toEqual({
            runningMetadata: 16,
            oneDevice: 22,
            block64: 22,
            block185: 22,
            blockLarge: 22,
            noMark: 22,
            feature: 22,
            fewFeatures: 22,
            tooLong: 22,
            noData: 6,
            noMetadata: 6,
            fewWords: 22,
          })
          expect(data).not.toBe(small)
          await machine.port.remove({ name: own }, 5_000)
        })
      }),
  },
  {
    title: 'the table line of a pool contains its features in the kernel’s order',
    run: machine =>
      withPool(
        machine,
        async ({ name, numbers: { metadata, data } }) => {
          const [table] = await machine.port.tableStatus({ name }, TABLE_FLAG.table | TABLE_FLAG.noflush)
          expect(table!.parameters).toBe(`${metadata} ${data} 128 3 2 skip_block_zeroing error_if_no_space `)
        },
        { lowWaterMarkBlocks: 3, skipBlockZeroing: true, errorIfNoSpace: true },
      ),
  },
  {
    title: 'the dependencies of a pool are its metadata and data device, and that of a thin is its pool',
    run: machine =>
      withPool(machine, async ({ pool, name, device, numbers }) => {
        const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
        const below = await machine.port.tableDeps({ name })
        expect(below.map(numberOf).sort()).toEqual([numbers.data, numbers.metadata].sort())
        expect(await machine.port.tableDeps({ name: volume.name })).toEqual([device])
      }),
  },
  {
    title: 'the kernel accepts two pools on one data device, and create() rejects the second',
    run: machine =>
      withPool(machine, async ({ numbers, reopen }) => {
        await withLoops(machine, [4 * MiB], async ([blank]) => {
          const second = machine.name('second')
          const table = [line('thin-pool', `${blank} ${numbers.data} 128 0`, 2048)]
          await machine.port.activate({ name: second, uuid: '', table })
          await machine.port.remove({ name: second }, 5_000)
          const create = ThinPool.create({
            ...(machine.kernel && { kernel: machine.kernel }),
            name: machine.name('third'),
            data: { device: `/dev/loop${numbers.data.slice(2)}` },
            metadata: { device: `/dev/loop${blank!.slice(2)}` },
          })
          await expect(create).rejects.toMatchObject({ code: 'DM_BUSY' })
          expect(reopen.name).not.toBe(second)
        })
      }),
  },
  {
    title: 'a pool counts its open thins, and cannot be removed while there are any',
    run: machine =>
      withPool(machine, async ({ pool, name }) => {
        const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
        expect((await machine.port.deviceStatus({ name })).openCount).toBe(1)
        expect(await errnoOf(machine.port.remove({ name }, 0))).toBe(16)
        await expect(pool.remove()).rejects.toMatchObject({ code: 'DM_POOL_IN_USE' })
        await volume.deactivate()
        expect((await machine.port.deviceStatus({ name })).openCount).toBe(0)
      }),
  },
  {
    title: 'the kernel accepts one thin id under two names, and activate() rejects with DM_ALREADY_ACTIVE',
    run: machine =>
      withPool(machine, async ({ pool, numbers }) => {
        const volume = await pool.createVolume({ sizeBytes: MiB })
        const foreign = machine.name('foreign')
        const table = [line('thin', `${numbers.pool} 0`, 2048)]
        await machine.port.activate({ name: foreign, uuid: '', table })
        const fault: unknown = await volume.activate().catch((refusal: unknown) => refusal)
        expect(fault).toMatchObject({ code: 'DM_ALREADY_ACTIVE', detail: foreign })
        const second = machine.name('second')
        await machine.port.activate({ name: second, uuid: '', table })
        await machine.port.remove({ name: second }, 5_000)
        await machine.port.remove({ name: foreign }, 5_000)
      }),
  },
  {
    title: 'activation and snapshot check number and uuid of the pool, and do nothing if they are those of another',
    run: machine =>
      withPool(machine, async ({ pool, device, numbers, message }) => {
        await message('create_thin 0')
        const another = { device, name: machine.name('pool'), uuid: 'DMTHIN-POOL-another' }
        const guard = { pool: another, ownPrefix: volumeUuidPrefix({ device, uuid: another.uuid }) }
        const request = { name: machine.name('thin'), uuid: '', table: [line('thin', `${numbers.pool} 0`, 2048)] }
        expect(await errnoOf(machine.port.activate({ ...request, guard, thinId: 0 }))).toBe(6)
        const origin = { originUuid: `${guard.ownPrefix}0`, originId: 0 }
        const snapshot = { ...guard, ...origin, ids: [1], committed: true }
        expect(await errnoOf(machine.port.snapshot(snapshot))).toBe(6)
        expect(await machine.port.activeThins(device)).toEqual([])
        expect((await pool.volumes()).map(volume => volume.id)).toEqual([0])
      }),
  },
  {
    title:
      'snapshotActive creates and activates a snapshot; if the activation fails, the snapshot stays and the error is returned',
    run: machine =>
      withPool(machine, async ({ pool, device, numbers }) => {
        const origin = await pool.createVolume({ sizeBytes: MiB })
        const info = await machine.port.deviceStatus({ device })
        const ownPrefix = volumeUuidPrefix(info)
        const known = { device, name: info.name, uuid: info.uuid }
        const make = (id: number, name: string, thinId = id) =>
          machine.port.snapshotActive(
            { pool: known, ownPrefix, originUuid: `${ownPrefix}0`, originId: origin.id, ids: [id], committed: true },
            {
              name,
              uuid: ownPrefix + id,
              table: [line('thin', `${numbers.pool} ${thinId}`, 2048)],
              thinId: id,
              guard: { pool: known, ownPrefix },
            },
          )
        const name = machine.name('copy')
        const made = await make(1, name)
        expect(made).toMatchObject({ items: [{ id: 1, errno: 0 }], suspended: false })
        expect(made.activated).toBe((await machine.port.deviceStatus({ name })).device)
        expect(await make(2, name)).toMatchObject({
          items: [{ id: 2, errno: 0 }],
          activated: { code: 'DM_NAME_TAKEN' },
        })
        expect(await make(2, machine.name('other'))).toEqual({
          items: [{ id: 2, errno: 17, operation: 'DM_TARGET_MSG' }],
          suspended: false,
        })
        const refused = await make(3, machine.name('missing'), 77)
        expect(refused).toMatchObject({ activated: { code: 'DM_VOLUME_NOT_FOUND', rollback: [{ errno: 0 }] } })
        expect((await pool.volumes()).map(({ id, active }) => [id, active])).toEqual([
          [0, false],
          [1, true],
          [2, false],
          [3, false],
        ])
        await machine.port.remove({ name }, 5_000)
      }),
  },
  {
    title: 'moveToSnapshot gives a device in use another thin; if a step fails, the device keeps its own',
    run: machine =>
      withPool(machine, async ({ pool, device, numbers }) => {
        const { port } = machine
        const [source, volume] = [
          await pool.createVolume({ sizeBytes: MiB }),
          await pool.createVolume({ sizeBytes: MiB }),
        ]
        await source.activate()
        await machine.write(source.path, 0, content(1))
        await source.deactivate()
        await volume.activate()
        await machine.write(volume.path, 0, content(2))
        const info = await port.deviceStatus({ device })
        const address = { uuid: volumeUuidPrefix(info) + volume.id }
        const known = { device, name: info.name, uuid: info.uuid }
        const move = (originId: number, id: number, named = id) =>
          port.moveToSnapshot({
            pool: known,
            device: address,
            lockedId: volume.id,
            originId,
            id,
            table: [line('thin', `${numbers.pool} ${named}`, 2048)],
          })
        const before = await port.deviceStatus(address)
        const thin = async () => (await port.tableStatus(address, TABLE_FLAG.table))[0]!.parameters.split(' ')[1]
        const ids = async () => (await pool.volumes()).map(({ id }) => id)
        expect(await errnoOf(move(source.id, source.id))).toBe(17)
        expect(await errnoOf(move(77, 5))).toBe(61)
        await expect(move(source.id, 5, 78)).rejects.toMatchObject({
          code: 'DM_VOLUME_NOT_FOUND',
          rollback: [{ operation: 'delete 5', errno: 0 }],
        })
        expect([await thin(), await ids()]).toEqual([`${volume.id}`, [source.id, volume.id]])
        await move(source.id, 5)
        expect([await thin(), await ids()]).toEqual(['5', [source.id, volume.id, 5]])
        const { flags, name, device: number, openCount } = await port.deviceStatus(address)
        expect({ flags, name, device: number, openCount }).toEqual({
          flags: before.flags,
          name: before.name,
          device: before.device,
          openCount: before.openCount,
        })
        expect(await machine.read(volume.path, 0, BLOCK)).toEqual(content(1))
        await port.suspend(address, 0)
        expect(await errnoOf(move(source.id, 6))).toBe(16)
        await port.resume(address)
      }),
  },
  {
    title: 'a pool cannot change its target or its discard features; other features can change',
    run: machine =>
      withPool(machine, async ({ name, numbers: { metadata, data } }) => {
        const load = (type: string, parameters: string) =>
          errnoOf(machine.port.tableLoad({ name }, [line(type, parameters, 2048)], 0))
        expect({
          zero: await load('zero', ''),
          discard: await load('thin-pool', `${metadata} ${data} 128 0 1 ignore_discard`),
          turned: (await load('thin-pool', `${data} ${metadata} 128 0`)) !== 0,
          queue: await load('thin-pool', `${metadata} ${data} 128 5 1 error_if_no_space`),
        }).toEqual({ zero: 22, discard: 22, turned: true, queue: 0 })
        await machine.port.resume({ name })
        expect(await machine.port.tableStatus({ name }, TABLE_FLAG.table)).toEqual([
          line('thin-pool', `${metadata} ${data} 128 5 1 error_if_no_space `, 2048),
        ])
      }),
  },
  {
    title: 'a metadata device with an invalid superblock fails with ENOTBLK, and another block size with EINVAL',
    run: machine =>
      withPool(machine, async ({ pool, numbers: { data } }) => {
        expect(data).toMatch(/^7:/)
        await pool.createVolume({ sizeBytes: MiB })
        await withLoops(machine, [4 * MiB, MiB], async ([garbage, spare]) => {
          await machine.write(`/dev/loop${garbage!.slice(2)}`, 0, content(0x33, 4096))
          const own = machine.name('refused')
          const load = (parameters: string) =>
            machine.port.activate({ name: own, uuid: '', table: [line('thin-pool', parameters, 1024)] })
          expect(await errnoOf(load(`${garbage} ${spare} 128 0`))).toBe(15)
          await machine.write(`/dev/loop${garbage!.slice(2)}`, 0, content(0, 4096))
          await load(`${garbage} ${spare} 128 0`)
          await machine.port.remove({ name: own }, 5_000)
          expect(await errnoOf(load(`${garbage} ${spare} 256 0`))).toBe(22)
        })
      }),
  },
  {
    title: 'a pool shorter than its metadata records loads, and fails at the resume',
    run: machine =>
      withPool(machine, async ({ pool, reopen }) => {
        await pool.remove()
        const data = await machine.port.loopAttach({ file: fileOf(reopen.data), autoclear: true })
        const metadata = await machine.port.loopAttach({ file: fileOf(reopen.metadata), autoclear: true })
        const table = [line('thin-pool', `7:${metadata.number} 7:${data.number} 128 0`, 1024)]
        const own = machine.name('short')
        const fault: unknown = await machine.port
          .activate({ name: own, uuid: '', table })
          .catch((refusal: unknown) => refusal)
        expect(fault).toMatchObject({ code: 'DM_TABLE_REFUSED', errno: 22, operation: 'DM_DEV_RESUME' })
        await machine.port.release(data.held)
        await machine.port.release(metadata.held)
        await untilAlone(machine.port, [fileOf(reopen.data), fileOf(reopen.metadata)])
        await ThinPool.open({ ...reopen })
      }),
  },
  {
    title: 'the status of a thin is "0 -" if nothing is mapped, otherwise the mapped sectors and the highest one',
    run: machine =>
      withPool(machine, async ({ pool }) => {
        const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
        const status = async () => (await machine.port.tableStatus({ name: volume.name }, 0))[0]!.parameters.trim()
        expect(await status()).toBe('0 -')
        await machine.write(volume.path, 3 * BLOCK, content(1))
        expect(await status()).toBe('128 511')
        await machine.write(volume.path, 0, content(1))
        expect(await status()).toBe('256 511')
        expect((await machine.port.tableStatus({ name: volume.name }, TABLE_FLAG.table))[0]!.parameters.trim()).toBe(
          `${numberOf((await machine.port.deviceStatus({ name: pool.name })).device)} 0`,
        )
      }),
  },
]

const fileOf = (source: { readonly file?: string | undefined }): string => source.file ?? ''

async function untilAlone(port: { loopList(): Promise<{ file: string }[]> }, files: readonly string[]) {
  while ((await port.loopList()).some(loop => files.includes(loop.file))) await new Promise(setImmediate)
}
