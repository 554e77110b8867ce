// What a pool can be told, and with which errno it refuses. drivers/md/dm-thin.c pool_message
import { MiB, ThinPool } from '../../lib/entry/index.js'
import { errnoOf, withPool, type Case } from './machine.js'

const EBUSY = 16
const EEXIST = 17
const EINVAL = 22
const ENODATA = 61

export const MESSAGES: readonly Case[] = [
  {
    title: 'create_thin and create_snap with an id that exists fail with EEXIST',
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
    title: 'create_snap of a missing origin and delete of a missing id fail with ENODATA',
    run: machine =>
      withPool(machine, async ({ errnos }) => {
        expect(await errnos(['create_snap 1 77', 'delete 77'])).toEqual({
          'create_snap 1 77': ENODATA,
          'delete 77': ENODATA,
        })
      }),
  },
  {
    title: 'delete of an active volume fails with EBUSY and DM_VOLUME_ACTIVE',
    run: machine =>
      withPool(machine, async ({ pool, message }) => {
        const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
        expect(await errnoOf(message('delete 0'))).toBe(EBUSY)
        await expect(volume.delete()).rejects.toMatchObject({ code: 'DM_VOLUME_ACTIVE' })
        await volume.destroy()
      }),
  },
  {
    title: 'ids beyond 24 bits fail with EINVAL',
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
    title: 'messages with too few or too many words, a bad number, an unknown command or no words fail with EINVAL',
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
    title: 'commands are accepted in any case, with several blanks between the words',
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
    title: 'numbers are decimal: a plus and leading zeros are accepted, the prefix 0x and fractions are not',
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
    title: 'the transaction id begins at zero, is compared before it is set, and has 64 bits',
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
    title: 'the metadata snapshot can be held once and released once',
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
    title: 'transaction id, volumes and metadata snapshot are kept when the pool is removed and opened again',
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
    title: 'a message to a thin device, or to a sector past the end of the pool, fails with EINVAL',
    run: machine =>
      withPool(machine, async ({ pool, name }) => {
        const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
        expect(await errnoOf(machine.port.targetMessage({ name: volume.name }, 0, 'create_thin 5'))).toBe(EINVAL)
        expect(await errnoOf(machine.port.targetMessage({ name }, 1 << 20, 'create_thin 5'))).toBe(EINVAL)
      }),
  },
]
