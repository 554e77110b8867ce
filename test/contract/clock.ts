// The snapshot clock, and the library before its end. drivers/md/dm-thin-metadata.c __create_snap, pack_block_time
import { MiB, ThinPool } from '../../lib/entry/index.js'
import { SNAPSHOT_LIMIT } from '../../lib/pool/state/snapshot-clock.js'
import { setTime } from './at-rest.js'
import { withPool, type Case, type Machine, type PoolAtHand } from './machine.js'

const LOW = Math.floor(SNAPSHOT_LIMIT * 0.9)

/** Stops the pool, sets the clock in its superblock, and starts it again. */
async function withClockAt(machine: Machine, { pool, reopen }: PoolAtHand, time: number): Promise<ThinPool> {
  await pool.remove({ deactivate: true })
  await setTime(machine, reopen, time)
  return ThinPool.open({ ...reopen })
}

const madeIn = async (pool: ThinPool) => (await pool.status()).snapshots?.made

export const CLOCK: readonly Case[] = [
  {
    title: 'each snapshot of an active or inactive volume is counted, and its deletion does not lower the count',
    run: machine =>
      withPool(machine, async ({ pool }) => {
        expect((await pool.status()).snapshots).toEqual({ made: 0, left: SNAPSHOT_LIMIT, limit: SNAPSHOT_LIMIT })
        const volume = await pool.createVolume({ sizeBytes: MiB })
        expect(await madeIn(pool)).toBe(0)
        await (await volume.snapshot()).delete()
        await volume.activate()
        await pool.snapshotMany(volume, 3)
        expect((await pool.status()).snapshots).toEqual({ made: 4, left: SNAPSHOT_LIMIT - 4, limit: SNAPSHOT_LIMIT })
      }),
  },
  {
    title: 'a snapshot that fails is not counted',
    run: machine =>
      withPool(machine, async ({ pool, errnos }) => {
        await pool.createVolume({ sizeBytes: MiB, id: 0 })
        await errnos(['create_snap 0 0', 'create_snap 1 7', 'create_snap 1'])
        expect(await madeIn(pool)).toBe(0)
      }),
  },
  {
    title: 'the last snapshot succeeds, the next rejects with DM_POOL_WORN, and other calls still succeed',
    run: machine =>
      withPool(machine, async at => {
        await at.pool.createVolume({ sizeBytes: MiB, id: 0 })
        const pool = await withClockAt(machine, at, SNAPSHOT_LIMIT - 2)
        expect((await pool.status()).snapshots).toMatchObject({ made: SNAPSHOT_LIMIT - 2, left: 2 })
        const volume = await (await pool.volume(0, { sizeBytes: MiB })).activate()
        await expect(pool.snapshotMany(volume, 3)).rejects.toMatchObject({ code: 'DM_POOL_WORN', device: pool.name })
        const last = await volume.snapshot()
        // Another process makes one meanwhile.
        expect(await at.errnos(['create_snap 9 0'])).toEqual({ 'create_snap 9 0': 0 })
        await expect(volume.snapshot()).rejects.toMatchObject({ code: 'DM_POOL_WORN' })
        expect((await pool.status()).snapshots).toMatchObject({ left: 0 })
        await last.delete()
        await (await pool.createVolume({ sizeBytes: MiB })).delete()
        expect((await pool.volumes()).map(({ id }) => id)).toEqual([0, 9])
      }),
  },
  {
    title: 'the event snapshots-low is reported once, at the snapshot that reaches 90 % of the limit',
    run: machine =>
      withPool(machine, async at => {
        await at.pool.createVolume({ sizeBytes: MiB, id: 0 })
        const pool = await withClockAt(machine, at, LOW - 2)
        const volume = await pool.volume(0, { sizeBytes: MiB })
        const events = pool.events()
        const told = events[Symbol.asyncIterator]()
        await events.ready
        await volume.snapshot()
        await volume.snapshot()
        expect((await told.next()).value).toMatchObject({
          type: 'snapshots-low',
          initial: false,
          status: { snapshots: { made: LOW } },
        })
        await volume.snapshot()
        events.close()
        expect(await told.next()).toMatchObject({ done: true })
        const late = pool.events()
        await late.ready
        expect((await late[Symbol.asyncIterator]().next()).value).toMatchObject({
          type: 'snapshots-low',
          initial: true,
        })
        late.close()
      }),
  },
]
