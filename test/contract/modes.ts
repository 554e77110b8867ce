// Read-only, out of metadata, failed. drivers/md/dm-thin.c set_pool_mode
import { MiB, ThinPool } from '../../lib/entry/index.js'
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
    title: 'messages to a read-only pool fail with EOPNOTSUPP and DM_POOL_READ_ONLY',
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
    title: 'a read-only pool allows reads and writes to exclusive blocks, and allocates no block',
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
    title: 'a pool whose metadata device fails is in mode fail after the next commit, and rejects messages',
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
    title: 'a failed pool reports Fail instead of the tables of its thins, which are still found and removed',
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
    title: 'a pool with full metadata is read-only without needs_check, and rw again after its metadata has grown',
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
  ...['createVolume', 'snapshot of an inactive volume', 'snapshot of an active one', 'delete', 'setTransactionId'].map(
    (call): Case => ({
      title: `${call} rejects with DM_NOT_COMMITTED if the pool accepts the change and cannot commit it`,
      run: machine =>
        onLinear(machine, async ({ pool, swap }) => {
          const idle = await pool.createVolume({ sizeBytes: MiB })
          const active = await (await pool.createVolume({ sizeBytes: MiB })).activate()
          await swap('error')
          const change = {
            createVolume: () => pool.createVolume({ sizeBytes: MiB }),
            'snapshot of an inactive volume': () => idle.snapshot(),
            'snapshot of an active one': () => active.snapshot(),
            delete: () => idle.delete(),
            setTransactionId: () => pool.setTransactionId({ currentId: 0n, newId: 1n }),
          }[call]!
          await expect(change()).rejects.toMatchObject({ code: 'DM_NOT_COMMITTED', device: pool.name })
          expect(await pool.status()).toMatchObject({ mode: 'fail' })
        }),
    }),
  ),
  {
    title: 'deleteMany rejects each change that was not committed, and each that was rejected after it',
    run: machine =>
      onLinear(machine, async ({ pool, swap }) => {
        const volumes = []
        for (let id = 0; id < 3; id++) volumes.push(await pool.createVolume({ sizeBytes: MiB }))
        await swap('error')
        const codes = (await pool.deleteMany(volumes)).map(each => each.status === 'rejected' && each.reason.code)
        expect(codes).toEqual(['DM_NOT_COMMITTED', 'DM_POOL_FAILED', 'DM_POOL_FAILED'])
      }),
  },
  {
    title:
      'snapshotMany of a pool that cannot commit rejects the first with DM_NOT_COMMITTED, the rest with DM_POOL_FAILED',
    run: machine =>
      onLinear(machine, async ({ pool, swap }) => {
        const origin = await (await pool.createVolume({ sizeBytes: MiB })).activate()
        await swap('error')
        const results = await pool.snapshotMany(origin, 2)
        const codes = results.map(each => each.status === 'rejected' && each.reason.code)
        expect(codes).toEqual(['DM_NOT_COMMITTED', 'DM_POOL_FAILED'])
        const { flags } = await machine.port.deviceStatus({ name: origin.name })
        expect(flags & 2).toBe(0)
      }),
  },
  {
    title: 'a change with durability lazy resolves without a commit, and commit() rejects with DM_NOT_COMMITTED',
    run: machine =>
      onLinear(machine, async ({ pool, swap }) => {
        const kernel = machine.kernel && { kernel: machine.kernel }
        const lazy = await ThinPool.open({ name: pool.name, durability: 'lazy', ...kernel })
        await lazy.createVolume({ sizeBytes: MiB, id: 0 })
        await lazy.commit()
        await swap('error')
        await lazy.createVolume({ sizeBytes: MiB, id: 1 })
        await expect(lazy.commit()).rejects.toMatchObject({ code: 'DM_NOT_COMMITTED', device: pool.name })
      }),
  },
  {
    title: 'the change that fills the metadata is committed, and the next rejects with DM_POOL_READ_ONLY',
    run: machine =>
      withPool(
        machine,
        async ({ pool }) => {
          let last = -1
          let refused: unknown
          while (refused === undefined) {
            refused = await pool.createVolume({ sizeBytes: MiB }).then(
              volume => void (last = volume.id),
              (fault: unknown) => fault,
            )
          }
          expect(refused).toMatchObject({ code: 'DM_POOL_READ_ONLY' })
          expect((await pool.volumes()).at(-1)!.id).toBe(last)
        },
        { metadataBytes: 2 * MiB },
      ),
  },
]
