// Read-only, out of metadata, failed. drivers/md/dm-thin.c set_pool_mode
import { MiB, ThinPool } from '../../lib/index.js'
import { BLOCK, content, errnoOf, line, nodeOf, withLoops, withPool, type Case, type Machine } from './machine.js'

const EOPNOTSUPP = 95
const SECTORS = 8192

/** A pool whose metadata lies on a linear device, so that it can be taken from under it. */
async function onLinear(
  machine: Machine,
  body: (at: { readonly pool: ThinPool; readonly swap: (type: string) => Promise<void> }) => Promise<void>,
): Promise<void> {
  const { port } = machine
  await withLoops(machine, [SECTORS * 512], async ([metadata]) => {
    const below = machine.name('metadata')
    const whole = line('linear', `${metadata} 0`, SECTORS)
    const { device } = await port.activate({ name: below, uuid: '', table: [whole] })
    const pool = await ThinPool.create({
      ...(machine.kernel && { kernel: machine.kernel }),
      name: machine.name('pool'),
      metadata: { device: nodeOf(device) },
      data: { file: machine.path('data'), sizeBytes: 16 * BLOCK },
    })
    const swap = async (type: string) => {
      await port.suspend({ name: below }, 0xc00)
      await port.tableLoad({ name: below }, [type === 'linear' ? whole : line(type, '', SECTORS)], 0)
      await port.resume({ name: below })
    }
    await body({ pool, swap })
    await pool.remove({ deactivate: true, deleteFiles: true })
    await swap('linear')
    await port.remove({ name: below }, 5_000)
  })
}

export const MODES: readonly Case[] = [
  {
    title: 'a read-only pool takes no message: EOPNOTSUPP, and DM_POOL_READ_ONLY',
    run: machine =>
      withPool(machine, async ({ pool, reopen }) => {
        await pool.createVolume({ sizeBytes: MiB })
        await pool.remove()
        const again = await ThinPool.open({ ...reopen, readOnly: true })
        expect(await again.status()).toMatchObject({ mode: 'ro', needsCheck: false })
        const found = []
        for (const text of ['create_thin 1', 'create_snap 1 0', 'delete 0', 'set_transaction_id 0 1', 'unheard_of']) {
          found.push(await errnoOf(machine.port.targetMessage({ name: again.name }, 0, text)))
        }
        expect(found).toEqual([EOPNOTSUPP, EOPNOTSUPP, EOPNOTSUPP, EOPNOTSUPP, EOPNOTSUPP])
        await expect(again.createVolume({ sizeBytes: MiB })).rejects.toMatchObject({ code: 'DM_POOL_READ_ONLY' })
      }),
  },
  {
    title: 'a read-only pool reads, writes what a volume has alone, and maps nothing new',
    run: machine =>
      withPool(machine, async ({ pool, reopen }) => {
        const made = await (await pool.createVolume({ sizeBytes: MiB })).activate()
        await machine.write(made.path, 3 * BLOCK, content(5))
        await pool.remove({ deactivate: true })
        const again = await ThinPool.open({ ...reopen, readOnly: true })
        const volume = await (await again.volume(0, { sizeBytes: MiB })).activate()
        expect((await machine.read(volume.path, 3 * BLOCK, 1))[0]).toBe(5)
        expect(await machine.writeDirect(volume.path, 3)).toBe('')
        expect(await machine.writeDirect(volume.path, 4)).toBe('EIO')
        expect((await again.status()).data!.usedBlocks).toBe(1)
      }),
  },
  {
    title: 'a pool whose metadata is gone fails at the next commit, says Fail, and takes nothing',
    run: machine =>
      onLinear(machine, async ({ pool, swap }) => {
        const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
        const idle = await pool.createVolume({ sizeBytes: MiB })
        await swap('error')
        await expect(machine.write(volume.path, 0, content(1))).rejects.toMatchObject({ code: 'EIO' })
        expect(await pool.status()).toMatchObject({ mode: 'fail', needsCheck: true, data: undefined })
        expect(await volume.status()).toMatchObject({ state: 'fail' })
        expect(await errnoOf(machine.port.targetMessage({ name: pool.name }, 0, 'create_thin 9'))).toBe(EOPNOTSUPP)
        await expect(idle.activate()).rejects.toMatchObject({ code: 'DM_POOL_FAILED' })
        await expect(pool.createVolume({ sizeBytes: MiB })).rejects.toMatchObject({ code: 'DM_POOL_FAILED' })
      }),
  },
  {
    title:
      'a failed pool prints Fail in the place of its thins’ tables, and they are found and taken down all the same',
    run: machine =>
      onLinear(machine, async ({ pool, swap }) => {
        const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
        await swap('error')
        await expect(machine.write(volume.path, 0, content(1))).rejects.toMatchObject({ code: 'EIO' })
        const [table] = await machine.port.tableStatus({ name: volume.name }, 0x810)
        expect(table!.parameters.trim()).toBe('Fail')
        const { device } = await machine.port.deviceStatus({ name: pool.name })
        expect(await machine.port.activeThins(device)).toMatchObject([{ name: volume.name, id: 0 }])
        await expect(pool.remove()).rejects.toMatchObject({ code: 'DM_POOL_IN_USE' })
      }),
  },
  {
    title: 'metadata that runs full makes the pool read-only without a check, and growing it brings it back',
    run: machine =>
      withPool(
        machine,
        async ({ pool, message }) => {
          let errno = 0
          for (let id = 0; id < 2000 && errno === 0; id++) errno = await errnoOf(message(`create_thin ${id}`))
          expect(errno).toBe(EOPNOTSUPP)
          expect(await pool.status()).toMatchObject({ mode: 'ro', needsCheck: false })
          expect(await errnoOf(message('delete 0'))).toBe(EOPNOTSUPP)
          await pool.grow({ metadataBytes: 8 * MiB })
          expect(await pool.status()).toMatchObject({ mode: 'rw', metadata: { totalBlocks: 2048 } })
          await message('delete 0')
        },
        { metadataBytes: 2 * MiB },
      ),
  },
]
