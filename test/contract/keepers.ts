// Pools that maintain themselves: pool.keep(), the reserve, and the numbers for a monitor.
import {
  KiB,
  MiB,
  POOL_MODES,
  ThinPool,
  type DmThinError,
  type Growth,
  type KeepOptions,
} from '../../lib/entry/index.js'
import { BLOCK, content, withPool, type Case, type Machine, type PoolAtHand } from './machine.js'

const HOUR_MS = 3_600_000
/** Only events of the kernel wake the keeper; data alone grows. */
const DATA_ONLY: KeepOptions = {
  data: { growBelowBytes: 4 * BLOCK, stepBytes: 8 * BLOCK },
  metadata: { minBytes: 0, growBelowBytes: 1 },
  hostReserveBytes: 0,
  lookEveryMs: HOUR_MS,
}

const turn = () => new Promise<void>(resolve => setTimeout(resolve, 5))
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await turn()
}

const active = async ({ pool }: PoolAtHand) => (await pool.createVolume({ sizeBytes: 16 * MiB })).activate()

/** The same pool, as another process has it open. */
const opened = ({ kernel }: Machine, { name }: PoolAtHand, more: object = {}) =>
  ThinPool.open({ name, ...more, ...(kernel && { kernel }) })

export const KEEPERS: readonly Case[] = [
  {
    title: 'a kept pool grows in steps at the low-water event: a writer of ten times its size gets no error',
    run: machine =>
      withPool(machine, async at => {
        const growths: Growth[] = []
        const errors: DmThinError[] = []
        await using keeper = await at.pool.keep({
          ...DATA_ONLY,
          onGrow: growth => growths.push(growth),
          onError: error => errors.push(error),
        })
        expect(keeper.active).toBe(true)
        const volume = await active(at)
        for (let block = 0; block < 160; block++) {
          await machine.write(volume.path, block * BLOCK, content(block % 250))
        }
        for (const block of [0, 80, 159]) {
          expect((await machine.read(volume.path, block * BLOCK, 1))[0]).toBe(block % 250)
        }
        await until(async () => (await at.pool.metrics()).dataTotalBytes! >= 164 * BLOCK)
        expect(errors).toEqual([])
        expect(growths.length).toBeGreaterThan(3)
        for (const { role, fromBytes, toBytes } of growths) {
          expect(role).toBe('data')
          expect((toBytes - fromBytes) % (8 * BLOCK)).toBe(0)
        }
        expect((await at.pool.metrics()).growths).toBe(growths.length)
      }),
  },
  {
    title: 'a keeper grows metadata to its least size immediately, and data only when it is low',
    run: machine =>
      withPool(machine, async at => {
        const growths: Growth[] = []
        const options = { ...DATA_ONLY, metadata: { minBytes: 16 * MiB, growBelowBytes: 1 } }
        await using keeper = await at.pool.keep({ ...options, onGrow: growth => growths.push(growth) })
        await until(() => growths.length > 0)
        expect(growths).toEqual([{ role: 'metadata', fromBytes: 4 * MiB, toBytes: 16 * MiB }])
        expect((await at.pool.status()).data!.totalBlocks).toBe(16)
        expect(keeper.active).toBe(true)
      }),
  },
  {
    title: 'a kept pool queues writes at the mark of the rule, and fails them when the keeper has stopped',
    run: machine =>
      withPool(machine, async at => {
        const keeper = await at.pool.keep({ ...DATA_ONLY, data: { ...DATA_ONLY.data, maxBytes: 16 * BLOCK } })
        const kept = await at.pool.status()
        expect(kept).toMatchObject({ whenFull: 'queue_if_no_space', lowWaterMark: { blocks: 4 } })
        await keeper.stop()
        await keeper.stop()
        expect(keeper.active).toBe(false)
        const rest = await at.pool.status()
        expect(rest).toMatchObject({ whenFull: 'error_if_no_space', lowWaterMark: { blocks: 0 } })
        const volume = await active(at)
        await machine.write(volume.path, 0, content(1, 16 * BLOCK))
        expect(await machine.writeDirect(volume.path, 20)).toBe('ENOSPC')
      }),
  },
  {
    title:
      'a keeper reports DM_POOL_NOT_GROWN once at maxBytes; writers wait, and continue when another call grows the pool',
    run: machine =>
      withPool(machine, async at => {
        const errors: DmThinError[] = []
        const data = { ...DATA_ONLY.data, maxBytes: 18 * BLOCK }
        await using keeper = await at.pool.keep({
          ...DATA_ONLY,
          data,
          lookEveryMs: 20,
          onError: error => errors.push(error),
        })
        const volume = await active(at)
        await machine.write(volume.path, 0, content(1, 12 * BLOCK))
        await until(async () => (await at.pool.status()).data!.totalBlocks === 18)
        const writing = machine.write(volume.path, 20 * BLOCK, content(2, 12 * BLOCK))
        await until(async () => (await at.pool.metrics()).waits === 1)
        await until(() => errors.length > 0)
        expect(errors).toMatchObject([{ code: 'DM_POOL_NOT_GROWN', detail: 'data', device: at.name }])
        expect(errors[0]!.missingBytes).toBeGreaterThan(0)
        await at.pool.grow({ dataBytes: 64 * BLOCK })
        await writing
        expect((await machine.read(volume.path, 31 * BLOCK, 1))[0]).toBe(2)
        const volumeSpace = [{ id: volume.id, mappedBytes: 24 * BLOCK }] // the keeper may have made spare volumes
        expect(await at.pool.metrics()).toMatchObject({ mode: POOL_MODES.indexOf('rw'), volumeSpace })
        expect(keeper.active).toBe(true)
      }),
  },
  {
    title: 'tryLockPool takes a lock that is free, and returns undefined for one that is held',
    run: machine =>
      withPool(machine, async ({ name }) => {
        const { port } = machine
        const key = `~try-${name}`
        const first = await port.tryLockPool(key)
        expect(first).toBeDefined()
        expect(await port.tryLockPool(key)).toBeUndefined()
        const waiting = port.lockPool(key)
        await port.release(first!)
        const second = await waiting
        expect(await port.tryLockPool(key)).toBeUndefined()
        await port.release(second)
        const third = await port.tryLockPool(key)
        expect(third).toBeDefined()
        await port.release(third!)
      }),
  },
  {
    title: 'one of two keepers is active, and the other takes over when it stops',
    run: machine =>
      withPool(machine, async at => {
        const first = await at.pool.keep(DATA_ONLY)
        const other = await opened(machine, at)
        let tookOver = false
        await using second = await other.keep({ ...DATA_ONLY, onActive: () => (tookOver = true) })
        expect([first.active, second.active, tookOver]).toEqual([true, false, false])
        await first.stop()
        await until(() => tookOver)
        expect(second.active).toBe(true)
        expect((await at.pool.status()).whenFull).toBe('queue_if_no_space')
        const volume = await active(at)
        await machine.write(volume.path, 0, content(1, 24 * BLOCK))
        expect((await other.metrics()).growths).toBeGreaterThan(0)
        expect((await at.pool.metrics()).growths).toBe(0)
      }),
  },
  {
    title: 'a keeper that stops while another waits leaves the writers of a full pool waiting, and the other grows it',
    run: machine =>
      withPool(machine, async at => {
        const first = await at.pool.keep({ ...DATA_ONLY, data: { ...DATA_ONLY.data, maxBytes: 16 * BLOCK } })
        const other = await opened(machine, at)
        await using second = await other.keep(DATA_ONLY)
        const volume = await active(at)
        const writing = machine.write(volume.path, 0, content(1, 24 * BLOCK))
        await until(async () => (await at.pool.status()).mode === 'out_of_data_space')
        await first.stop()
        await writing
        expect(second.active).toBe(true)
        expect((await machine.read(volume.path, 23 * BLOCK, 1))[0]).toBe(1)
      }),
  },
  {
    title: 'close waits for a call of keep() in progress and stops its keeper',
    run: machine =>
      withPool(machine, async at => {
        const other = await opened(machine, at)
        const starting = other.keep(DATA_ONLY)
        await other.close()
        const keeper = await starting
        await keeper.ended
        expect((await at.pool.status()).whenFull).toBe('error_if_no_space')
      }),
  },
  {
    title: 'open compares a kept pool by its options without a keeper, and leaves it kept',
    run: machine =>
      withPool(
        machine,
        async at => {
          await using keeper = await at.pool.keep(DATA_ONLY)
          const { kernel: _, ...sources } = at.reopen
          const again = await opened(machine, at, sources)
          expect(again.findings).toEqual([])
          expect((await at.pool.status()).whenFull).toBe('queue_if_no_space')
          await expect(opened(machine, at, { ...sources, lowWaterMarkBlocks: 4 })).rejects.toMatchObject({
            code: 'DM_POOL_MISMATCH',
          })
          expect(keeper.active).toBe(true)
        },
        { errorIfNoSpace: true, lowWaterMarkBlocks: 2 },
      ),
  },
  {
    title: 'a keeper ends with the pool, with close() and with its signal',
    run: machine =>
      withPool(machine, async at => {
        const giveUp = new AbortController()
        const aborted = await at.pool.keep({ ...DATA_ONLY, signal: giveUp.signal })
        giveUp.abort()
        await aborted.ended
        const other = await opened(machine, at)
        const closed = await other.keep(DATA_ONLY)
        await other.close()
        expect([aborted.active, closed.active]).toEqual([false, false])
        expect((await at.pool.status()).whenFull).toBe('error_if_no_space')
        const removed = await at.pool.keep(DATA_ONLY)
        await at.pool.remove({ deleteFiles: true })
        await removed.ended
        expect(removed.active).toBe(false)
        await expect(at.pool.keep()).rejects.toMatchObject({ code: 'DM_CLOSED' })
      }),
  },
  {
    title: 'a suspended pool is not kept, and stays suspended',
    run: machine =>
      withPool(machine, async at => {
        await machine.port.suspend({ name: at.name }, 0)
        await expect(at.pool.keep(DATA_ONLY)).rejects.toMatchObject({ code: 'DM_POOL_SUSPENDED' })
        expect((await machine.port.deviceStatus({ name: at.name })).flags & 2).toBe(2)
        await machine.port.resume({ name: at.name })
        expect((await at.pool.status()).whenFull).toBe('queue_if_no_space')
      }),
  },
  {
    title: 'below the reserve of data DM_POOL_RESERVE rejects new volumes with the missing bytes, and deleting works',
    run: machine =>
      withPool(machine, async at => {
        const volume = await active(at)
        const spare = await at.pool.createVolume({ sizeBytes: MiB })
        await machine.write(volume.path, 0, content(1, 13 * BLOCK))
        const pool = await opened(machine, at, { reserve: { dataBytes: 4 * BLOCK } })
        const refused = { code: 'DM_POOL_RESERVE', missingBytes: BLOCK, detail: 'data', device: at.name }
        await expect(pool.createVolume({ sizeBytes: MiB })).rejects.toMatchObject(refused)
        const same = await pool.volume(volume.id)
        await expect(same.snapshot()).rejects.toMatchObject(refused)
        await expect(pool.snapshotMany(same, 3)).rejects.toMatchObject(refused)
        expect((await pool.metrics()).volumes).toBe(2)
        await (await pool.volume(spare.id, { sizeBytes: MiB })).delete()
        await same.destroy()
        await pool.createVolume({ sizeBytes: MiB })
        expect((await pool.metrics()).volumes).toBe(1)
      }),
  },
  {
    title: 'below the reserve of metadata DM_POOL_RESERVE rejects new volumes; without a reserve they are created',
    run: machine =>
      withPool(machine, async at => {
        const { totalBytes, usedBytes } = (await at.pool.status()).metadata!
        const reserve = { metadataBytes: totalBytes - usedBytes + 100 * KiB }
        const pool = await opened(machine, at, { reserve })
        const fault = (await pool.createVolume({ sizeBytes: MiB }).catch((thrown: unknown) => thrown)) as DmThinError
        expect(fault).toMatchObject({ code: 'DM_POOL_RESERVE', detail: 'metadata' })
        expect(fault.missingBytes).toBe(100 * KiB)
        await at.pool.createVolume({ sizeBytes: MiB })
      }),
  },
  {
    title: 'metrics returns the numbers of the status, with volumes and snapshots left',
    run: machine =>
      withPool(machine, async at => {
        const volume = await active(at)
        await machine.write(volume.path, 0, content(1, 4 * BLOCK))
        const snapshot = await volume.snapshot()
        await at.pool.setTransactionId({ currentId: 0n, newId: 7n })
        const { data, metadata, snapshots } = await at.pool.status()
        expect(await at.pool.metrics()).toEqual({
          dataUsedBytes: 4 * BLOCK,
          dataTotalBytes: 16 * BLOCK,
          dataBlockBytes: BLOCK,
          metadataUsedBytes: metadata!.usedBytes,
          metadataTotalBytes: metadata!.totalBytes,
          dataPercent: 25,
          metadataPercent: (metadata!.usedBytes / metadata!.totalBytes) * 100,
          volumes: 2,
          volumeSpace: [volume, snapshot].map(({ id }) => ({ id, name: undefined, mappedBytes: 4 * BLOCK })),
          snapshotsLeft: snapshots!.left,
          mode: 0,
          needsCheck: 0,
          queues: 1,
          transactionId: 7,
          waits: 0,
          growths: 0,
        })
        expect(data!.usedBytes).toBe(4 * BLOCK)
      }),
  },
]
