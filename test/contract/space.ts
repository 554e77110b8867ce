// Which write takes a block, which shares one, which gives one back; and what happens when there is none.
import { MiB } from '../../lib/entry/index.js'
import { BLOCK, content, withPool, type Case, type Machine, type PoolAtHand } from './machine.js'

const used = async ({ pool }: PoolAtHand): Promise<number> => (await pool.status()).data!.usedBlocks

const usage = async ({ pool }: PoolAtHand): Promise<Record<number, readonly [number, number, number]>> => {
  const all = await pool.usage()
  return Object.fromEntries(
    all.map(each => [each.id, [each.mappedBlocks, each.exclusiveBlocks, each.sharedBlocks] as const]),
  )
}

const volumeOf = async ({ pool }: PoolAtHand, sizeBytes = 4 * MiB) =>
  (await pool.createVolume({ sizeBytes })).activate()

/** A status without NOFLUSH commits: `usage` reads what was committed last, and a discard is not yet. */
const commit = ({ port }: Machine, { name }: PoolAtHand) => port.tableStatus({ name }, 0)

/** A volume with all blocks of the pool but `free`. */
async function nearlyFull(
  at: PoolAtHand,
  write: (path: string, offset: number, bytes: Uint8Array) => Promise<void>,
  free = 0,
) {
  const volume = await volumeOf(at)
  await write(volume.path, 0, content(1, (16 - free) * BLOCK))
  return volume
}

export const SPACE: readonly Case[] = [
  {
    title: 'the status line of a new pool has the expected words, except the number of used metadata blocks',
    run: machine =>
      withPool(machine, async ({ statusLine }) => {
        expect(await statusLine()).toMatch(/^0 \d+\/1024 0\/16 - rw discard_passdown queue_if_no_space - 256$/)
      }),
  },
  {
    title: 'the first write to a block, whole or partial, allocates it, and later writes allocate nothing',
    run: machine =>
      withPool(machine, async at => {
        const volume = await volumeOf(at)
        await machine.write(volume.path, 4096, content(1, 4096))
        expect(await used(at)).toBe(1)
        await machine.write(volume.path, 0, content(2))
        expect(await used(at)).toBe(1)
        await machine.write(volume.path, 2 * BLOCK - 4096, content(3, 8192))
        expect(await used(at)).toBe(3)
        expect(await usage(at)).toEqual({ 0: [3, 3, 0] })
      }),
  },
  {
    title: 'bytes that were not written are read as zeros, also within a partially written block',
    run: machine =>
      withPool(machine, async at => {
        const volume = await volumeOf(at)
        await machine.write(volume.path, BLOCK + 4096, content(9, 4096))
        const bytes = await machine.read(volume.path, 0, 3 * BLOCK)
        expect([0, BLOCK, BLOCK + 4096, BLOCK + 8192, 2 * BLOCK].map(place => bytes[place])).toEqual([0, 0, 9, 0, 0])
        expect(await used(at)).toBe(1)
      }),
  },
  {
    title: 'a snapshot takes no data blocks, shares all of them, and keeps its content if the origin is overwritten',
    run: machine =>
      withPool(machine, async at => {
        const origin = await volumeOf(at)
        await machine.write(origin.path, 0, content(1, 3 * BLOCK))
        const copy = await origin.snapshot({ activate: true })
        expect(await used(at)).toBe(3)
        expect(await usage(at)).toEqual({ 0: [3, 0, 3], 1: [3, 0, 3] })
        await machine.write(origin.path, BLOCK, content(2))
        expect(await used(at)).toBe(4)
        expect(await usage(at)).toEqual({ 0: [3, 1, 2], 1: [3, 1, 2] })
        expect((await machine.read(copy.path, BLOCK, 1))[0]).toBe(1)
        expect((await machine.read(origin.path, BLOCK, 1))[0]).toBe(2)
      }),
  },
  {
    title: 'a partial write to a shared block copies the rest of the block',
    run: machine =>
      withPool(machine, async at => {
        const origin = await volumeOf(at)
        await machine.write(origin.path, 0, content(1))
        const copy = await origin.snapshot({ activate: true })
        await machine.write(copy.path, 4096, content(2, 4096))
        const bytes = await machine.read(copy.path, 0, BLOCK)
        expect([0, 4096, 8192].map(place => bytes[place])).toEqual([1, 2, 1])
        expect((await machine.read(origin.path, 4096, 1))[0]).toBe(1)
        expect(await usage(at)).toEqual({ 0: [1, 1, 0], 1: [1, 1, 0] })
      }),
  },
  {
    title: 'a block that three snapshots share is shared for each of them, and used once',
    run: machine =>
      withPool(machine, async at => {
        const origin = await volumeOf(at)
        await machine.write(origin.path, 0, content(1))
        await at.pool.snapshotMany(origin, 3)
        expect(await used(at)).toBe(1)
        expect(await usage(at)).toEqual({ 0: [1, 0, 1], 1: [1, 0, 1], 2: [1, 0, 1], 3: [1, 0, 1] })
      }),
  },
  {
    title: 'deleting a volume frees its exclusive blocks, and makes blocks exclusive to the last owner',
    run: machine =>
      withPool(machine, async at => {
        const origin = await volumeOf(at)
        await machine.write(origin.path, 0, content(1, 2 * BLOCK))
        const copy = await origin.snapshot({ activate: true })
        await machine.write(copy.path, 0, content(2))
        expect(await used(at)).toBe(3)
        await origin.destroy()
        expect(await used(at)).toBe(2)
        expect(await usage(at)).toEqual({ 1: [2, 2, 0] })
        await copy.destroy()
        expect(await used(at)).toBe(0)
      }),
  },
  {
    title: 'a snapshot of a snapshot shares blocks as its origin does',
    run: machine =>
      withPool(machine, async at => {
        const first = await volumeOf(at)
        await machine.write(first.path, 0, content(1, 2 * BLOCK))
        const second = await first.snapshot({ activate: true })
        await machine.write(second.path, 0, content(2))
        await second.snapshot()
        expect(await usage(at)).toEqual({ 0: [2, 1, 1], 1: [2, 0, 2], 2: [2, 0, 2] })
        expect(await used(at)).toBe(3)
      }),
  },
  {
    title: 'a discard unmaps the blocks that it covers completely, and frees those that are not shared',
    run: machine =>
      withPool(machine, async at => {
        const origin = await volumeOf(at)
        await machine.write(origin.path, 0, content(1, 4 * BLOCK))
        await machine.discard(origin.path, BLOCK / 2, 2 * BLOCK)
        expect(await used(at)).toBe(3)
        await commit(machine, at)
        expect(await usage(at)).toEqual({ 0: [3, 3, 0] })
        expect((await machine.read(origin.path, BLOCK, 1))[0]).toBe(0)
        await origin.snapshot()
        await machine.discard(origin.path, 0, BLOCK)
        await commit(machine, at)
        expect(await usage(at)).toEqual({ 0: [2, 0, 2], 1: [3, 1, 2] })
        expect(await used(at)).toBe(3)
      }),
  },
  {
    title: 'a pool with ignore_discard rejects a discard, and unmaps nothing',
    run: machine =>
      withPool(
        machine,
        async at => {
          const volume = await volumeOf(at)
          await machine.write(volume.path, 0, content(1))
          await expect(async () => machine.discard(volume.path, 0, BLOCK)).rejects.toThrow()
          expect(await used(at)).toBe(1)
          expect(await at.statusLine()).toContain(' ignore_discard ')
        },
        { ignoreDiscard: true },
      ),
  },
  {
    title: 'a block that was shared is copied at the next write, although its other owner was deleted',
    run: machine =>
      withPool(
        machine,
        async at => {
          const origin = await volumeOf(at)
          await machine.write(origin.path, 0, content(1, 16 * BLOCK))
          await (await origin.snapshot()).delete()
          expect(await used(at)).toBe(16)
          expect(await machine.writeDirect(origin.path, 0)).toBe('ENOSPC')
        },
        { errorIfNoSpace: true },
      ),
  },
  {
    title: 'a held metadata snapshot keeps the blocks of deleted volumes until it is released',
    run: machine =>
      withPool(machine, async at => {
        const volume = await volumeOf(at)
        await machine.write(volume.path, 0, content(1, 2 * BLOCK))
        await at.message('reserve_metadata_snap')
        await volume.destroy()
        expect(await used(at)).toBe(2)
        await at.message('release_metadata_snap')
        expect(await used(at)).toBe(0)
      }),
  },
  {
    title: 'contents, mappings and counts are kept when the pool is removed and opened again',
    run: machine =>
      withPool(machine, async at => {
        const { ThinPool } = await import('../../lib/entry/index.js')
        const origin = await volumeOf(at)
        await machine.write(origin.path, BLOCK, content(5, 2 * BLOCK))
        await origin.snapshot()
        const before = await usage(at)
        await at.pool.remove({ deactivate: true })
        const again = await ThinPool.open({ ...at.reopen })
        expect(await usage({ ...at, pool: again })).toEqual(before)
        const volume = await (await again.volume(1, { sizeBytes: 4 * MiB })).activate()
        expect((await machine.read(volume.path, 2 * BLOCK, 1))[0]).toBe(5)
      }),
  },
  {
    title:
      'a write without a free block fails with ENOSPC in a pool with error_if_no_space, whose mode is out_of_data_space',
    run: machine =>
      withPool(
        machine,
        async at => {
          const volume = await nearlyFull(at, machine.write)
          expect((await at.pool.status()).mode).toBe('rw')
          expect(await machine.writeDirect(volume.path, 20)).toBe('ENOSPC')
          expect(await at.pool.status()).toMatchObject({ mode: 'out_of_data_space', whenFull: 'error_if_no_space' })
          expect(await at.statusLine()).toMatch(/ 16\/16 - out_of_data_space discard_passdown error_if_no_space - 256$/)
          expect((await machine.read(volume.path, 20 * BLOCK, 1))[0]).toBe(0)
        },
        { errorIfNoSpace: true },
      ),
  },
  {
    title: 'a full pool accepts messages, and writes to exclusive blocks',
    run: machine =>
      withPool(
        machine,
        async at => {
          const volume = await nearlyFull(at, machine.write)
          expect(await machine.writeDirect(volume.path, 20)).toBe('ENOSPC')
          expect(await at.errnos(['create_thin 5', 'create_snap 6 5', 'delete 5'])).toEqual({
            'create_thin 5': 0,
            'create_snap 6 5': 0,
            'delete 5': 0,
          })
          expect(await machine.writeDirect(volume.path, 4)).toBe('')
          await volume.snapshot()
          expect(await machine.writeDirect(volume.path, 4)).toBe('ENOSPC')
        },
        { errorIfNoSpace: true },
      ),
  },
  {
    title: 'a full pool stays out_of_data_space after a resume; a new table makes it rw until a write finds no block',
    run: machine =>
      withPool(
        machine,
        async at => {
          const volume = await nearlyFull(at, machine.write)
          expect(await machine.writeDirect(volume.path, 20)).toBe('ENOSPC')
          await machine.port.suspend({ name: at.name }, 0)
          await machine.port.resume({ name: at.name })
          expect((await at.pool.status()).mode).toBe('out_of_data_space')
          const table = await machine.port.tableStatus({ name: at.name }, 0x810)
          await machine.port.tableLoad({ name: at.name }, table, 0)
          await machine.port.resume({ name: at.name })
          expect((await at.pool.status()).mode).toBe('rw')
          expect(await machine.writeDirect(volume.path, 20)).toBe('ENOSPC')
          expect((await at.pool.status()).mode).toBe('out_of_data_space')
        },
        { errorIfNoSpace: true },
      ),
  },
  {
    title: 'a full pool is rw after a volume is deleted, and writes succeed',
    run: machine =>
      withPool(
        machine,
        async at => {
          const volume = await nearlyFull(at, machine.write)
          expect(await machine.writeDirect(volume.path, 20)).toBe('ENOSPC')
          const other = await volumeOf(at)
          await volume.destroy()
          expect(await at.pool.status()).toMatchObject({ mode: 'rw', data: { usedBlocks: 0 } })
          await machine.write(other.path, 0, content(3))
          expect(await used(at)).toBe(1)
        },
        { errorIfNoSpace: true },
      ),
  },
  {
    title: 'a writer to a full pool with queue_if_no_space waits until the pool has grown',
    run: machine =>
      withPool(machine, async at => {
        const volume = await nearlyFull(at, machine.write)
        const writing = machine.write(volume.path, 20 * BLOCK, content(2))
        while ((await at.pool.status()).mode !== 'out_of_data_space') await new Promise(setImmediate)
        await at.pool.grow({ dataBytes: 32 * BLOCK })
        await writing
        expect(await at.pool.status()).toMatchObject({ mode: 'rw', data: { usedBlocks: 17, totalBlocks: 32 } })
        expect((await machine.read(volume.path, 20 * BLOCK, 1))[0]).toBe(2)
      }),
  },
  {
    title: 'grow() enlarges data and metadata of a running pool, and rejects smaller sizes',
    run: machine =>
      withPool(machine, async ({ pool }) => {
        await pool.grow({ dataBytes: 64 * BLOCK, metadataBytes: 8 * MiB })
        expect(await pool.status()).toMatchObject({ data: { totalBlocks: 64 }, metadata: { totalBlocks: 2048 } })
        await expect(pool.grow({ dataBytes: 32 * BLOCK })).rejects.toMatchObject({ code: 'DM_INVALID_ARGUMENT' })
      }),
  },
  {
    title: 'used metadata blocks include a tenth of the device as reserve for commits',
    run: machine =>
      withPool(machine, async ({ pool }) => {
        const { usedBlocks, lowWaterMarkBlocks } = (await pool.status()).metadata!
        expect(lowWaterMarkBlocks).toBe(256)
        expect(usedBlocks).toBeGreaterThan(102)
        expect(usedBlocks).toBeLessThan(130)
      }),
  },
]
