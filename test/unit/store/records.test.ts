// Rows of the store's records in the hands of two: what one reverts or deletes is its own, and not another's since.
import { LAST_CHOSEN_THIN_ID } from '../../../lib/base/units.js'
import { Records } from '../../../lib/store/records/records.js'
import type { Row } from '../../../lib/store/records/row.js'
import { openDatabase } from '../../../lib/store/records/sqlite.js'

const OWNER = 'me'

async function withRecords(body: (records: Records, make: (key: string, parent?: Row) => Row) => void): Promise<void> {
  const database = await openDatabase(':memory:')
  const records = new Records(database)
  records.createSchema()
  const make = (key: string, parent?: Row) =>
    records.insert(
      {
        ...{ key, kind: 'active', state: 'making', owner: OWNER, parent: parent?.id ?? null },
        ...{ sizeBytes: 2 ** 26, fileSystem: 'ext4', at: 1n, labels: {} },
      },
      parent,
    )
  body(records, make)
  database.close()
}

test('thin ids wrap around and skip ids in use', () =>
  withRecords((records, make) => {
    expect([make('a').thin, make('b').thin]).toEqual([0, 1])
    records.set('next', String(LAST_CHOSEN_THIN_ID))
    expect([make('c').thin, make('d').thin]).toEqual([LAST_CHOSEN_THIN_ID, 2])
  }))

test('rollBack removes the layer of a failed call, whether its record is ready or not', () =>
  withRecords((records, make) => {
    const [making, ready] = [make('a'), make('b')]
    records.update(ready, ['making'], { state: 'ready', owner: null })
    for (const row of [making, ready]) {
      expect(records.rollBack(row, OWNER)).toMatchObject({ id: row.id, key: null, state: 'removing', owner: OWNER })
    }
    expect([records.has('a'), records.has('b')]).toEqual([false, false])
  }))

test('rollBack leaves a row that another process has committed, removed or used as a parent', () =>
  withRecords((records, make) => {
    const [committed, below, removed] = [make('a'), make('b'), make('c')]
    for (const row of [committed, below, removed]) records.update(row, ['making'], { state: 'ready', owner: null })
    records.update(committed.id, ['ready'], { key: 'layer', kind: 'committed' })
    make('child', below)
    records.abandon(removed.id, ['ready'], 'another')
    for (const row of [committed, below, removed]) expect(records.rollBack(row, OWNER)).toBeUndefined()
    expect([records.has('layer'), records.has('b')]).toEqual([true, true])
  }))

test('rollBack of a deleted row leaves the row that reuses its id', () =>
  withRecords((records, make) => {
    const old = make('a')
    records.delete(old)
    const next = make('a')
    expect(next.id).toBe(old.id)
    records.update(next, ['making'], { state: 'ready', owner: null })
    expect(records.rollBack(old, OWNER)).toBeUndefined()
    records.delete(old)
    expect(records.update(old, ['ready'], { state: 'removing' })).toBeUndefined()
    expect(records.byKey('a')).toMatchObject({ thin: next.thin, state: 'ready' })
  }))

test('rows show how many snapshots the pool has made at least, until an older pool is accepted', () =>
  withRecords((records, make) => {
    make('a') // without a number
    expect(records.snapshots).toBe(0)
    const made = (thin: number, snapshotTime?: number) => {
      const rest = { state: 'ready', owner: null, parent: null, sizeBytes: 2 ** 26, fileSystem: 'ext4' } as const
      return records.insertWith(thin, { key: `${thin}`, kind: 'active', at: 1n, labels: {}, ...rest, snapshotTime })!
    }
    const [first, second] = [made(11, 7), made(12, 8), made(13, 8), made(14)]
    expect(records.snapshots).toBe(9) // the values of two processes, which both read 6 or 7
    records.delete(second)
    expect(records.snapshots).toBe(8)
    records.update(first, ['ready'], { key: 'renamed' })
    expect(records.snapshots).toBe(8)
    records.acceptPool(3n, 5)
    expect([records.transaction, records.snapshots]).toEqual([3n, 5])
    made(15, 6)
    expect(records.snapshots).toBe(6)
    records.acceptPool(3n, 0)
    expect(records.snapshots).toBe(0)
  }))

test('a database of version 4 is migrated: its rows show no number of snapshots', async () => {
  const database = await openDatabase(':memory:')
  new Records(database).createSchema()
  database.exec(`ALTER TABLE layer DROP COLUMN snapshot_time; PRAGMA user_version = 4;
    INSERT INTO layer (key, kind, state, thin, size, fs, created, updated, labels)
    VALUES ('old', 'active', 'ready', 7, 1, 'ext4', 1, 1, '{}')`)
  const records = new Records(database)
  records.createSchema()
  expect(records.byKey('old')).toMatchObject({ thin: 7 })
  expect(records.snapshots).toBe(0)
  const { labels, ...old } = records.byKey('old')!
  const { kind, state, sizeBytes, fileSystem, owner } = old
  const row = { key: 'new', kind, state, sizeBytes, fileSystem, owner, labels, parent: null, at: 1n, snapshotTime: 3 }
  expect(records.insertWith(8, row)).toMatchObject({ thin: 8 })
  expect(records.snapshots).toBe(3)
  expect(database.pragma('user_version')).toBe(5)
  database.close()
})

test('a database of version 3 is migrated: its next thin id is the first to be claimed', async () => {
  const database = await openDatabase(':memory:')
  new Records(database).createSchema()
  database.exec(
    `DROP TABLE claim; ALTER TABLE layer DROP COLUMN snapshot_time; PRAGMA user_version = 3; INSERT INTO store VALUES ('next', '7')`,
  )
  const records = new Records(database)
  records.createSchema()
  expect(records.claims.add(2, OWNER)).toEqual({ claim: { first: 7, last: 8, owner: OWNER }, ids: [7, 8] })
  expect(database.pragma('user_version')).toBe(5)
  database.close()
})

test('a database of version 1 is migrated and keeps its rows', async () => {
  const database = await openDatabase(':memory:')
  new Records(database).createSchema()
  database.exec(`DROP TABLE claim; DROP TABLE lease; DROP INDEX layer_resets; ALTER TABLE layer DROP COLUMN resets;
    ALTER TABLE layer DROP COLUMN raw; ALTER TABLE layer DROP COLUMN snapshot_time; PRAGMA user_version = 1;
    INSERT INTO layer (key, kind, state, thin, size, fs, created, updated, labels)
    VALUES ('old', 'active', 'ready', 7, 1, 'ext4', 1, 1, '{}')`)
  const records = new Records(database)
  records.createSchema()
  expect(records.byKey('old')).toMatchObject({ thin: 7, raw: false, resets: null })
  const id = records.leases.insert(7, 'use', OWNER)
  expect(records.leases.of(7)).toEqual([{ id, thin: 7, kind: 'use', owner: OWNER }])
  database.pragma('user_version = 99')
  expect(() => new Records(database)).toThrow(expect.objectContaining({ code: 'DM_STORE_MISMATCH' }) as Error)
  database.close()
})
