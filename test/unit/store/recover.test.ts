// Recovery: what dead processes left in the records of a store, held against its pool, while other calls go on.
import { ThinPool } from '../../../lib/entry/index.js'
import type { Owner } from '../../../lib/store/records/owner.js'
import { Records } from '../../../lib/store/records/records.js'
import { openDatabase } from '../../../lib/store/records/sqlite.js'
import { Claims } from '../../../lib/store/engine/claims.js'
import { Writer } from '../../../lib/store/records/writer.js'
import { compare } from '../../../lib/store/recovery/consistency.js'
import { prepare } from '../../../lib/store/layers/prepare.js'
import { recover } from '../../../lib/store/recovery/recover.js'
import { Volumes } from '../../../lib/store/engine/volumes.js'
import { setTime } from '../../contract/at-rest.js'
import { withMemoryStore, type MemoryStore } from '../../helpers/store/memory-store.js'

/** The row of an active layer that is being made. */
const rowOf = (key: string) => {
  const plain = { kind: 'active', state: 'making', owner: null, parent: null, sizeBytes: 2 ** 26 } as const
  return { ...plain, key, fileSystem: 'ext4', at: 1n, labels: {} } as const
}

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

test('recover() does not report a pool behind its records if a commit and a prepare end between the two reads', async () => {
  const database = await openDatabase(':memory:')
  const records = new Records(database)
  records.createSchema()
  let id = 1n
  let made = 1
  const pool = {
    status: async () => {
      const status = { transactionId: id, snapshots: { made } }
      // A removal and a prepare end after the kernel has answered.
      records.noteTransaction((id += 1n))
      records.insertWith(made, { ...rowOf('new'), snapshotTime: (made += 1) })
      return status
    },
  } as unknown as ThinPool
  const volumes = { ids: async () => new Set<number>() } as Volumes
  const writer = new Writer(database)
  const owner = {} as Owner
  const claims = new Claims({ records, writer, owner })
  expect(await compare({ pool, records, writer, owner, claims, volumes, clock: () => 0n }, false)).toEqual([])
  writer.close()
  database.close()
})

test('compare() reports layers without a volume, in the order of their rows, but none that is being reset', () =>
  withMemoryStore(async ({ store, insert, committed }) => {
    const ready = (key: string) => insert({ key, state: 'ready', owner: null })
    await committed('base')
    await store.writer.write(() => store.records.insertWith(900, { ...rowOf('first'), state: 'ready' }))
    await insert({ key: 'second', state: 'committing' })
    await insert({ state: 'removing' })
    await insert({ state: 'retired' })
    const reset = await insert({ resets: (await ready('being reset')).id })
    await store.pool.createVolume({ id: reset.thin, sizeBytes: reset.sizeBytes })
    await insert({ resets: (await ready('third')).id }) // has no volume either
    const found = await compare(store, false)
    expect(found.map(({ kind, key }) => [kind, key])).toEqual(
      ['first', 'second', 'third'].map(key => ['layer-without-volume', key]),
    )
  }))

test('recover() deletes nothing if the pool has made fewer snapshots than the records show', () =>
  withMemoryStore(async ({ kernel, process, store, committed, insert }) => {
    const base = await committed('base')
    const made = await Promise.all(
      ['a', 'b', 'c'].map(key => prepare(store, { kind: 'active', key, parent: 'base', options: {} })),
    )
    expect(store.records.snapshots).toBe(made.length)
    const dead = await insert({ owner: DEAD })
    await store.pool.createVolume({ id: dead.thin, sizeBytes: dead.sizeBytes })
    const options = { ...kernel.poolOptions('layers'), kernel: process }
    const recovered = async (time: number) => {
      await (await ThinPool.open(options)).remove({ deactivate: true })
      await setTime(kernel, options, time)
      await using pool = await ThinPool.open(options)
      const volumes = new Volumes(pool, false)
      const findings = await recover({ ...store, pool, volumes })
      return { findings, ids: [...(await volumes.ids())] }
    }
    const ids = [base, ...made.map(({ row }) => row), dead].map(({ thin }) => thin).sort((a, b) => a - b)
    expect(await recovered(2)).toEqual({
      ids,
      findings: [
        { kind: 'unfinished', thin: dead.thin, action: 'none' },
        { kind: 'transaction-behind', detail: 'the pool has made 2 snapshots, the records show 3', action: 'none' },
      ],
    })
    expect(store.records.byId(dead.id)).toMatchObject({ state: 'making' })
    await store.writer.write(() => store.records.acceptPool(0n, 2))
    expect((await recovered(2)).findings).toEqual([{ kind: 'unfinished', thin: dead.thin, action: 'undone' }])
  }))

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
