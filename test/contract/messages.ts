// What a pool can be told, and with which errno it refuses. drivers/md/dm-thin.c pool_message
import { MiB, ThinPool } from '../../lib/entry/index.js'
import { errnoOf, withPool, type Case } from './machine.js'

const EBUSY = 16
const EEXIST = 17
const EINVAL = 22
const ENODATA = 61

export const MESSAGES: readonly Case[] = [
  {
    title: 'create: an id twice is EEXIST, for thins and for snapshots',
    run: machine =>
      withPool(machine, async ({ errnos }) => {
        expect(await errnos(['create_thin 0', 'create_snap 1 0'])).toEqual({ 'create_thin 0': 0, 'create_snap 1 0': 0 })
        expect(await errnos(['create_thin 0', 'create_thin 1', 'create_snap 0 1', 'create_snap 0 0'])).toEqual({
          'create_thin 0': EEXIST,
          'create_thin 1': EEXIST,
          'create_snap 0 1': EEXIST,
          'create_snap 0 0': EEXIST,
        })
      }),
  },
  {
    title: 'a snapshot of nothing and deleting nothing are ENODATA',
    run: machine =>
      withPool(machine, async ({ errnos }) => {
        expect(await errnos(['create_snap 1 77', 'delete 77'])).toEqual({
          'create_snap 1 77': ENODATA,
          'delete 77': ENODATA,
        })
      }),
  },
  {
    title: 'deleting an active volume is EBUSY, and DM_VOLUME_ACTIVE',
    run: machine =>
      withPool(machine, async ({ pool, message }) => {
        const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
        expect(await errnoOf(message('delete 0'))).toBe(EBUSY)
        await expect(volume.delete()).rejects.toMatchObject({ code: 'DM_VOLUME_ACTIVE' })
        await volume.destroy()
      }),
  },
  {
    title: 'ids have 24 bits',
    run: machine =>
      withPool(machine, async ({ errnos, pool }) => {
        expect(
          await errnos(['create_thin 16777215', 'create_thin 16777216', 'create_snap 1 16777216', 'delete 16777216']),
        ).toEqual({
          'create_thin 16777215': 0,
          'create_thin 16777216': EINVAL,
          'create_snap 1 16777216': EINVAL,
          'delete 16777216': EINVAL,
        })
        expect((await pool.volumes()).map(({ id }) => id)).toEqual([16777215])
      }),
  },
  {
    title: 'too few words, too many, no number, an unknown command and no words are EINVAL',
    run: machine =>
      withPool(machine, async ({ errnos }) => {
        const texts = [
          'create_thin',
          'create_thin 1 2',
          'create_thin one',
          'create_thin -1',
          'create_snap 1',
          'delete',
          'unheard_of 1',
          '',
        ]
        expect(await errnos(texts)).toEqual(Object.fromEntries(texts.map(text => [text, EINVAL])))
      }),
  },
  {
    title: 'commands are read in any case of letters, and with blanks between',
    run: machine =>
      withPool(machine, async ({ errnos, pool }) => {
        expect(await errnos(['CREATE_THIN 3', '  create_thin   4  '])).toEqual({
          'CREATE_THIN 3': 0,
          '  create_thin   4  ': 0,
        })
        expect((await pool.volumes()).map(({ id }) => id)).toEqual([3, 4])
      }),
  },
  {
    title: 'numbers are decimal: a plus and leading zeros are read, a prefix 0x and fractions are not',
    run: machine =>
      withPool(machine, async ({ errnos, pool }) => {
        expect(await errnos(['create_thin +5', 'create_thin 007', 'create_thin 0x9', 'create_thin 1.5'])).toEqual({
          'create_thin +5': 0,
          'create_thin 007': 0,
          'create_thin 0x9': EINVAL,
          'create_thin 1.5': EINVAL,
        })
        expect((await pool.volumes()).map(({ id }) => id)).toEqual([5, 7])
      }),
  },
  {
    title: 'the transaction id begins at zero, is compared and set, and has 64 bits',
    run: machine =>
      withPool(machine, async ({ pool, errnos }) => {
        expect((await pool.status()).transactionId).toBe(0n)
        const large = `set_transaction_id 1 ${2n ** 63n + 1n}`
        expect(await errnos(['set_transaction_id 5 6', 'set_transaction_id 0 1', large])).toEqual({
          'set_transaction_id 5 6': EINVAL,
          'set_transaction_id 0 1': 0,
          [large]: 0,
        })
        expect((await pool.status()).transactionId).toBe(2n ** 63n + 1n)
      }),
  },
  {
    title: 'the metadata snapshot is held once and released once',
    run: machine =>
      withPool(machine, async ({ pool, errnos }) => {
        expect((await pool.status()).heldMetadataRoot).toBeNull()
        expect(await errnos(['release_metadata_snap', 'reserve_metadata_snap'])).toEqual({
          release_metadata_snap: EINVAL,
          reserve_metadata_snap: 0,
        })
        expect((await pool.status()).heldMetadataRoot).toBeGreaterThan(0)
        expect(await errnos(['reserve_metadata_snap'])).toEqual({ reserve_metadata_snap: EBUSY })
        expect(await errnos(['release_metadata_snap'])).toEqual({ release_metadata_snap: 0 })
        expect((await pool.status()).heldMetadataRoot).toBeNull()
      }),
  },
  {
    title: 'transaction id, volumes and the metadata snapshot survive the pool',
    run: machine =>
      withPool(machine, async ({ pool, message, reopen }) => {
        await message('create_thin 5')
        await message('set_transaction_id 0 9')
        await message('reserve_metadata_snap')
        await pool.remove()
        const again = await ThinPool.open({ ...reopen })
        const status = await again.status()
        expect(status).toMatchObject({ mode: 'rw', transactionId: 9n, needsCheck: false })
        expect(status.heldMetadataRoot).not.toBeNull()
        expect((await again.volumes()).map(({ id }) => id)).toEqual([5])
      }),
  },
  {
    title: 'a message to a thin, and one to a pool with a target’s sector behind the end, are EINVAL',
    run: machine =>
      withPool(machine, async ({ pool, name }) => {
        const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
        expect(await errnoOf(machine.port.targetMessage({ name: volume.name }, 0, 'create_thin 5'))).toBe(EINVAL)
        expect(await errnoOf(machine.port.targetMessage({ name }, 1 << 20, 'create_thin 5'))).toBe(EINVAL)
      }),
  },
]
