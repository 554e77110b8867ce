// Recovery: what dead processes left in the records of a store, held against its pool, while other calls go on.
import type { ThinPool } from '../../../lib/entry/index.js'
import type { Owner } from '../../../lib/store/records/owner.js'
import { Records } from '../../../lib/store/records/records.js'
import { openDatabase } from '../../../lib/store/records/sqlite.js'
import { Writer } from '../../../lib/store/records/writer.js'
import { compare } from '../../../lib/store/recovery/consistency.js'
import { recover } from '../../../lib/store/recovery/recover.js'
import { Volumes } from '../../../lib/store/engine/volumes.js'
import { withMemoryStore, type MemoryStore } from '../../helpers/store/memory-store.js'

/** Nobody has its lock. */
const DEAD = 'dead'
/** Kernel calls that give a device to a volume, or tell the pool to change one. */
const CHANGES = ['activate', 'activateMany', 'create', 'remove', 'deactivateMany', 'deleteMany', 'targetMessage']

/** Runs it, and gives the changes that it made in the kernel. */
async function changesOf({ process }: MemoryStore, body: () => Promise<unknown>): Promise<string[]> {
  const before = process.calls.length
  await body()
  return process.calls.slice(before).filter(name => CHANGES.includes(name))
}

test('recover() does not report a pool behind its records if a commit happens between the two reads', async () => {
  const database = await openDatabase(':memory:')
  const records = new Records(database)
  records.createSchema()
  let id = 1n
  const pool = {
    status: async () => {
      const transactionId = id
      records.noteTransaction((id += 1n)) // a removal ends after the kernel has answered
      return { transactionId }
    },
    volumes: async () => [],
  } as unknown as ThinPool
  const volumes = new Volumes(pool, false)
  const writer = new Writer(database)
  expect(await compare({ pool, records, writer, owner: {} as Owner, volumes, clock: () => 0n }, false)).toEqual([])
  writer.close()
  database.close()
})

test('recover() deletes only the record of a volume that a killed process had not created yet', () =>
  withMemoryStore(async memory => {
    const { store, insert } = memory
    const row = await insert({ key: 'a', owner: DEAD })
    const changes = await changesOf(memory, async () => {
      expect(await recover(store)).toEqual([{ kind: 'unfinished', key: 'a', thin: row.thin, action: 'undone' }])
      expect(await store.removals.drain()).toEqual([])
    })
    expect(changes).toEqual([])
    expect(store.records.all()).toEqual([])
  }))

test('recover() deletes a volume that a killed process had created', () =>
  withMemoryStore(async memory => {
    const { store, insert } = memory
    const row = await insert({ owner: DEAD })
    await store.pool.createVolume({ id: row.thin, sizeBytes: row.sizeBytes })
    await recover(store)
    expect(await store.removals.drain()).toEqual([])
    expect(await store.pool.volumes()).toEqual([])
    expect(store.records.all()).toEqual([])
  }))

test('recover() does not delete a volume again that a killed process had deleted', () =>
  withMemoryStore(async memory => {
    const { store, insert } = memory
    await insert({ state: 'removing', owner: DEAD })
    const changes = await changesOf(memory, async () => {
      expect(await recover(store)).toEqual([])
      expect(await store.removals.drain()).toEqual([])
    })
    expect(changes).toEqual([])
    expect(store.records.all()).toEqual([])
  }))

test('a base volume that a killed process had not created yet is created with another record', () =>
  withMemoryStore(async memory => {
    const { store, insert } = memory
    await insert({ kind: 'base', owner: DEAD })
    const changes = await changesOf(memory, () =>
      expect(store.bases.get()).rejects.toThrow('a node of the memory kernel'),
    )
    // That of the new one, which could not be formatted.
    expect(changes.filter(name => name === 'deactivateMany')).toHaveLength(1)
    expect(await store.removals.drain()).toEqual([])
    expect(store.records.all()).toEqual([])
  }))
