// The record beside a pool: what it knows after the pool was down, and what is told where it is wrong.
import { MiB, ThinPool, volumesOf, type CreatePoolOptions } from '../../lib/entry/index.js'
import { BLOCK, withPool, type Case, type Machine, type PoolAtHand } from './machine.js'

interface RecordAtHand extends PoolAtHand {
  readonly record: string
  /** Down and up again, by these options besides the files. */
  readonly restart: (options?: Partial<CreatePoolOptions>) => Promise<ThinPool>
}

async function withRecord(
  machine: Machine,
  body: (at: RecordAtHand) => Promise<void>,
  options: Partial<CreatePoolOptions> = {},
): Promise<void> {
  const record = machine.path('record')
  await withPool(
    machine,
    async at => {
      const { kernel, name, data, metadata } = at.reopen
      const files = { ...(kernel && { kernel }), name, data, metadata, record }
      let running = at.pool
      const restart = async (given: Partial<CreatePoolOptions> = {}) => {
        await running.remove({ deactivate: true })
        running = await ThinPool.open({ ...files, ...given })
        return running
      }
      await body({ ...at, record, restart })
    },
    { ...options, record },
  )
  await machine.port.deleteFile(record)
}

const known = (pool: ThinPool) =>
  pool.volumes().then(all => all.map(({ id, name, sizeBytes, origin }) => ({ id, name, sizeBytes, origin })))

export const RECORDS: readonly Case[] = [
  {
    title: 'names, sizes and origins are known after a restart with the record, and unknown without it',
    run: machine =>
      withRecord(machine, async ({ pool, name, restart, reopen }) => {
        const base = await pool.createVolume({ sizeBytes: MiB, name: machine.name('base') })
        await base.snapshot({ id: 7, activate: true })
        const many = volumesOf(await pool.snapshotMany(base, [8, 9]))
        await many[0]!.activate({ sizeBytes: 2 * MiB })
        await (await pool.volume(9)).delete()
        const expected = [
          { id: 0, name: base.name, sizeBytes: MiB, origin: undefined },
          { id: 7, name: `${name}-7`, sizeBytes: MiB, origin: 0 },
          { id: 8, name: `${name}-8`, sizeBytes: 2 * MiB, origin: 0 },
        ]
        const again = await restart()
        expect(again.findings).toEqual([])
        expect(await known(again)).toEqual(expected)
        await (await again.volume(7)).activate()
        await again.deleteMany([await again.volume(8)])
        expect(await known(again)).toEqual(expected.slice(0, 2))
        const { kernel } = reopen
        const without = await ThinPool.open({ name, ...(kernel && { kernel }) })
        const [first] = await without.volumes()
        expect([first!.name, first!.sizeBytes]).toEqual([`${name}-0`, undefined])
      }),
  },
  {
    title: 'a pool is started with its recorded options; options that are passed replace them and are recorded',
    run: machine =>
      withRecord(
        machine,
        async ({ restart }) => {
          const again = await restart()
          expect(again.findings).toEqual([])
          const expected = { lowWaterMark: { blocks: 3 }, whenFull: 'error_if_no_space' }
          expect(await again.status()).toMatchObject(expected)
          const other = await restart({ lowWaterMarkBlocks: 5 })
          const differs = { kind: 'record-differs', action: 'rebuilt', detail: 'lowWaterMarkBlocks: 3, is 5' }
          expect(other.findings).toMatchObject([differs])
          expect(await (await restart()).status()).toMatchObject({ ...expected, lowWaterMark: { blocks: 5 } })
        },
        { lowWaterMarkBlocks: 3, errorIfNoSpace: true },
      ),
  },
  {
    title: 'grow() records the new size',
    run: machine =>
      withRecord(machine, async ({ pool, restart }) => {
        await pool.grow({ dataBytes: 32 * BLOCK })
        const again = await restart()
        expect(again.findings).toEqual([])
        expect((await again.status()).data).toMatchObject({ totalBlocks: 32 })
      }),
  },
  {
    title: 'a missing or corrupt record is rebuilt, and volumes that are not recorded are reported',
    run: machine =>
      withRecord(machine, async ({ pool, record, restart }) => {
        await pool.createVolume({ sizeBytes: MiB, id: 4 })
        await machine.port.deleteFile(record)
        const notRecorded = { kind: 'volume-not-recorded', detail: '4', action: 'none' }
        const missing = { kind: 'record-missing', detail: record, action: 'rebuilt' }
        const again = await restart()
        expect(again.findings).toMatchObject([missing])
        expect(await known(again)).toMatchObject([{ id: 4, sizeBytes: undefined }])
        await machine.port.replaceSmallFile(record, '{"format":1,"pool":')
        expect((await restart()).findings).toMatchObject([{ ...missing, kind: 'record-damaged' }])
        const third = await restart()
        expect(third.findings).toMatchObject([notRecorded])
        await (await third.volume(4, { sizeBytes: MiB })).activate()
        const fourth = await restart()
        expect(fourth.findings).toEqual([])
        expect(await known(fourth)).toMatchObject([{ id: 4, sizeBytes: MiB }])
      }),
  },
  {
    title: 'volumes that others created or deleted are reported, and deleted ones are removed from the record',
    run: machine =>
      withRecord(machine, async ({ pool, message, restart }) => {
        await pool.createVolume({ sizeBytes: MiB, id: 1 })
        await message('delete 1')
        await message('create_thin 2')
        const again = await restart()
        expect(again.findings).toMatchObject([
          { kind: 'volume-missing', detail: '1', action: 'dropped' },
          { kind: 'volume-not-recorded', detail: '2', action: 'none' },
        ])
      }),
  },
  {
    title: 'several objects share one record without losing changes of each other',
    run: machine =>
      withRecord(machine, async ({ pool, name, record, reopen: { kernel } }) => {
        const others = []
        for (let at = 0; at < 3; at++) others.push(await ThinPool.open({ name, record, ...(kernel && { kernel }) }))
        const all = [pool, ...others]
        await Promise.all(
          Array.from({ length: 16 }, (_, id) => all[id % all.length]!.createVolume({ sizeBytes: MiB, id })),
        )
        expect((await known(others[0]!)).map(({ sizeBytes }) => sizeBytes)).toEqual(new Array(16).fill(MiB))
      }),
  },
  {
    title: 'the record of another pool is rejected with DM_POOL_MISMATCH and not changed',
    run: machine =>
      withRecord(machine, async ({ record, name, reopen: { kernel } }) => {
        const own = await machine.port.readSmallFile(record)
        await machine.port.replaceSmallFile(record, own!.replace(`"pool":"${name}"`, '"pool":"another"'))
        const open = ThinPool.open({ name, record, ...(kernel && { kernel }) })
        await expect(open).rejects.toMatchObject({ code: 'DM_POOL_MISMATCH', detail: record })
        await machine.port.replaceSmallFile(record, own!)
      }),
  },
]
