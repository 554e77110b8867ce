// External origins: what a thin reads where it has no block. drivers/md/dm-thin.c schedule_external_copy, process_bio
import { MiB, volumesOf } from '../../lib/entry/index.js'
import { TABLE_FLAG } from '../../lib/kernel/port/device-port.js'
import { BLOCK, content, errnoOf, line, numberOf, withLoops, withPool, type Case, type Machine } from './machine.js'

/** Three blocks and a half of 7. */
const ORIGIN_BYTES = 3 * BLOCK + BLOCK / 2

async function withOrigin(machine: Machine, body: (path: string, number: string) => Promise<void>): Promise<void> {
  await withLoops(machine, [ORIGIN_BYTES], async ([number]) => {
    const path = `/dev/loop${number!.slice(2)}`
    await machine.write(path, 0, content(7, ORIGIN_BYTES))
    await body(path, number!)
  })
}

/** The first byte of each half block. */
async function halves(machine: Machine, path: string, blocks: number): Promise<string> {
  const all = await machine.read(path, 0, blocks * BLOCK)
  return Array.from({ length: blocks * 2 }, (_, half) => all[(half * BLOCK) / 2]).join('')
}

export const ORIGINS: readonly Case[] = [
  {
    title:
      'unmapped blocks are read from the origin, zeros past its end, and a write in part of a block copies the rest',
    run: machine =>
      withOrigin(machine, externalOrigin =>
        withPool(machine, async ({ pool }) => {
          const volume = await (await pool.createVolume({ sizeBytes: 6 * BLOCK, externalOrigin })).activate()
          expect(await halves(machine, volume.path, 6)).toBe('777777700000')
          const half = content(1, BLOCK / 2)
          await machine.write(volume.path, BLOCK, half) // within the origin
          await machine.write(volume.path, 3.5 * BLOCK, half) // in the block where it ends
          await machine.write(volume.path, 5 * BLOCK, half) // past its end
          expect(await halves(machine, volume.path, 6)).toBe('771777710010')
          expect((await volume.status()).mappedBytes).toBe(3 * BLOCK)
          expect(await halves(machine, externalOrigin, 3)).toBe('777777')
          await volume.destroy()
        }),
      ),
  },
  {
    title: 'snapshots keep the external origin of their volume, and are written independently',
    run: machine =>
      withOrigin(machine, (externalOrigin, number) =>
        withPool(machine, async ({ pool, numbers }) => {
          const volume = await (await pool.createVolume({ sizeBytes: 4 * BLOCK, externalOrigin })).activate()
          await machine.write(volume.path, 0, content(1))
          const copy = await volume.snapshot({ activate: true })
          const many = volumesOf(await pool.activateMany(volumesOf(await pool.snapshotMany(volume, 2))))
          await machine.write(copy.path, BLOCK, content(2))
          expect(await halves(machine, volume.path, 4)).toBe('11777770')
          expect(await halves(machine, copy.path, 4)).toBe('11227770')
          for (const each of [copy, ...many]) {
            const [table] = await machine.port.tableStatus({ name: each.name }, TABLE_FLAG.table)
            expect(table!.parameters.trim()).toBe(`${numbers.pool} ${each.id} ${number}`)
            expect(each.externalOrigin).toBe(externalOrigin)
          }
          expect(await halves(machine, many[1]!.path, 4)).toBe('11777770')
          volumesOf(await pool.deactivateMany([volume, copy, ...many]))
        }),
      ),
  },
  {
    title:
      'the external origin is part of the table only: an activation without it reads zeros, one with it reads the origin',
    run: machine =>
      withOrigin(machine, (externalOrigin, number) =>
        withPool(machine, async ({ pool, device }) => {
          await pool.createVolume({ sizeBytes: 2 * BLOCK, externalOrigin })
          const forgotten = await (await pool.volume(0)).activate({ sizeBytes: 2 * BLOCK })
          expect(await halves(machine, forgotten.path, 2)).toBe('0000')
          await forgotten.deactivate()
          const found = await pool.volume(0, { sizeBytes: 2 * BLOCK, externalOrigin })
          await found.activate()
          expect(await halves(machine, found.path, 2)).toBe('7777')
          expect((await machine.port.tableDeps({ name: found.name })).map(numberOf)).toEqual([numberOf(device), number])
          expect(await pool.volume(0)).toMatchObject({ active: true, externalOrigin: expect.any(String) as string })
          await found.deactivate()
        }),
      ),
  },
  {
    title: 'an activation with an invalid external origin is rejected, and leaves no device',
    run: machine =>
      withOrigin(machine, (externalOrigin, number) =>
        withPool(machine, async ({ pool, numbers, reopen, name }) => {
          const volume = await pool.createVolume({ sizeBytes: MiB })
          const other = await (await pool.createVolume({ sizeBytes: MiB })).activate()
          const refused = async (origin: string) =>
            volume.activate({ externalOrigin: origin }).catch((fault: { code: string }) => fault.code)
          expect({
            data: await refused(`/dev/loop${numbers.data.slice(2)}`),
            pool: await refused(pool.path),
            volume: await refused(other.path),
            file: await refused((reopen.data as { file: string }).file),
            nothing: await refused('/dev/nothing-of-this-name'),
          }).toEqual({
            data: 'DM_INVALID_ARGUMENT',
            pool: 'DM_INVALID_ARGUMENT',
            volume: 'DM_INVALID_ARGUMENT',
            file: 'DM_INVALID_ARGUMENT',
            nothing: 'DM_FILE_MISSING',
          })
          const own = machine.name('own')
          await machine.port.create(own, '')
          const load = (parameters: string) =>
            errnoOf(machine.port.tableLoad({ name: own }, [line('thin', parameters, 2048)], 0))
          expect([
            await load(`${numbers.pool} 0 ${numbers.pool}`),
            await load(`${numbers.pool} 0 240:9999`),
            await load(`${numbers.pool} 77 ${number}`),
          ]).toEqual([22, 6, 61])
          await machine.port.remove({ name: own }, 5_000)
          const [many] = await pool.activateMany([await pool.volume(0, { sizeBytes: MiB, externalOrigin: pool.path })])
          expect(many).toMatchObject({ status: 'rejected', reason: { code: 'DM_INVALID_ARGUMENT' } })
          expect((await machine.port.activeThins((await machine.port.deviceStatus({ name })).device)).length).toBe(1)
          expect(externalOrigin).not.toBe(other.path)
        }),
      ),
  },
]
