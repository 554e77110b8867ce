// The records of the store's layers, in one SQLite file. Each statement takes well below a millisecond. Changes are made
// inside a transaction of the Writer.
import { DmThinError } from '../../base/errors.js'
import { LAST_CHOSEN_THIN_ID } from '../../base/units.js'
import { leastSnapshotTime } from '../../pool/state/snapshot-clock.js'
import { ClaimRows } from './claim-rows.js'
import { LeaseRows } from './lease-rows.js'
import type { Row, RowChange, RowState, RowInsert } from './row.js'
import type { SqlValue, Statement } from './database.js'
import { checkVersion, migrate } from './schema.js'
import { databaseFaults, type Database } from './sqlite.js'
import type { LayerFileSystem } from '../common/layer-types.js'

const THIN_IDS = LAST_CHOSEN_THIN_ID + 1
/** The statement that returns the next thin id. It continues at 0 after the last id. */
const NEXT_THIN = `INSERT INTO store VALUES ('next', '1')
  ON CONFLICT DO UPDATE SET value = (value + 1) % ${THIN_IDS} RETURNING (value + ${THIN_IDS - 1}) % ${THIN_IDS} AS thin`

const INSERT = `INSERT INTO layer (key, kind, state, owner, parent, size, fs, created, updated, labels, raw, resets, snapshot_time,
  thin) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (thin) DO NOTHING`

const COLUMNS = 'l.*, p.key AS parent_key, p.kind AS parent_kind FROM layer l LEFT JOIN layer p ON p.id = l.parent'

/** The records of a store. */
export class Records {
  readonly #database: Database
  readonly #statements = new Map<string, Statement>()
  readonly leases: LeaseRows
  readonly claims: ClaimRows

  /** Throws an error of `isLocked` while another process opens the file for the first time, or after a crash. */
  constructor(database: Database) {
    this.#database = database
    database.pragma('synchronous = FULL') // while the file is created
    database.pragma('journal_mode = WAL')
    // FULL would also wait for the disk after each commit. The Writer does this outside the JavaScript thread.
    database.pragma('synchronous = NORMAL')
    database.pragma('foreign_keys = ON')
    checkVersion(database)
    this.leases = new LeaseRows(database)
    this.claims = new ClaimRows(database)
  }

  /**
   * Copies the write-ahead log into the database, and waits for its disk. After a failed write, the log may be in memory
   * only, and no further change may rely on it. Returns false while another process uses the log; if it does so permanently,
   * its writes are acknowledged, so that the disk accepts them.
   */
  checkpoint(): boolean {
    const busy = this.#database.pragma('wal_checkpoint(TRUNCATE)')
    return busy !== 1
  }

  /** Creates the tables, or migrates those of an older version. Needs a transaction, because two processes may do it. */
  createSchema(): void {
    migrate(this.#database)
  }

  get(name: string): string | undefined {
    return (this.#get('SELECT value FROM store WHERE name = ?', name) as { value: string } | undefined)?.value
  }

  set(name: string, value: string): void {
    this.#run('INSERT INTO store VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value', name, value)
  }

  #noted = 0n

  /** The transaction id of the pool at the last acknowledged change. */
  get transaction(): bigint {
    return BigInt(this.get('transaction') ?? '0')
  }

  /** Records the transaction id of a commit point, if it is the highest so far. */
  noteTransaction(id: bigint): void {
    if (id <= this.#noted) return // another change of the same commit point has recorded it
    if (id > this.transaction) this.set('transaction', String(id))
    this.#noted = id
  }

  /**
   * The number of snapshots that the pool has made at least: as many as the rows show, and as many as an older pool had made
   * when it was accepted.
   */
  get snapshots(): number {
    const times = this.#numbers('snapshot_time', 'snapshot_time IS NOT NULL')
    return Math.max(Number(this.get('snapshots') ?? 0), leastSnapshotTime(times))
  }

  /**
   * Sets the transaction id and the number of snapshots to those of the pool, although they are lower. The rows no longer show
   * a number: the pool makes snapshots again that those of lost layers counted.
   */
  acceptPool(transactionId: bigint, snapshots: number): void {
    this.set('transaction', String(transactionId))
    this.#noted = transactionId
    this.set('snapshots', String(snapshots))
    this.#run('UPDATE layer SET snapshot_time = NULL WHERE snapshot_time IS NOT NULL')
  }

  has(key: string): boolean {
    return this.#get('SELECT 1 FROM layer WHERE key = ?', key) !== undefined
  }

  /** Returns the id of a layer: faster than its row. */
  idOf(key: string): number | undefined {
    const found = this.#get('SELECT id FROM layer WHERE key = ?', key) as { id: bigint } | undefined
    return found && Number(found.id)
  }

  /** Returns true if a row is still there, with the same thin id and kind, and `ready`. */
  isReady({ id, thin, kind }: Pick<Row, 'id' | 'thin' | 'kind'>): boolean {
    const where = `id = ? AND thin = ? AND kind = ? AND state = 'ready'`
    return this.#get(`SELECT 1 FROM layer WHERE ${where}`, id, thin, kind) !== undefined
  }

  byKey(key: string): Row | undefined {
    return this.#row('l.key = ?', key)
  }

  byId(id: number): Row | undefined {
    return this.#row('l.id = ?', id)
  }

  byThin(thin: number): Row | undefined {
    return this.#row('l.thin = ?', thin)
  }

  base(fileSystem: LayerFileSystem, sizeBytes: number): Row | undefined {
    return this.#row(
      `l.kind = 'base' AND l.state IN ('making', 'ready') AND l.fs = ? AND l.size = ?`,
      fileSystem,
      sizeBytes,
    )
  }

  /** Returns base volumes that are not the parent of any row. */
  unusedBases(): Row[] {
    return this.#rows(
      `l.kind = 'base' AND l.state = 'ready' AND NOT EXISTS (SELECT 1 FROM layer c WHERE c.parent = l.id)`,
    )
  }

  /** Returns the rows that are not `ready`. */
  unready(): Row[] {
    return this.#rows(`l.state <> 'ready' ORDER BY l.id`)
  }

  all(): Row[] {
    return this.#rows('1 ORDER BY l.id')
  }

  /** Returns the thin ids of all rows. */
  thinIds(): number[] {
    return this.#numbers('thin', '1')
  }

  /** Returns layers whose key is greater than `after`, in the order of the bytes of their keys. */
  page(after: string, count: number): Row[] {
    return this.#rows(`l.key > ? AND l.state <> 'making' ORDER BY l.key LIMIT ?`, after, count)
  }

  /** Returns a layer that has this parent, or that is being reset to it. */
  childOf(id: number): Row | undefined {
    const reset = this.#row(`l.parent = ? AND l.resets IS NOT NULL AND l.state = 'making' LIMIT 1`, id)
    return reset ? this.byId(reset.resets!) : this.#row('l.parent = ? AND l.key IS NOT NULL LIMIT 1', id)
  }

  /** Returns the row of the new content of a layer that is being reset. */
  resetOf(id: number): Row | undefined {
    return this.#row(`l.resets = ? AND l.state = 'making'`, id)
  }

  /** Inserts a row with the next thin id that no row has and no store object has claimed. */
  insert(row: RowInsert, parent?: Row): Row {
    for (let tried = 0; tried < THIN_IDS; tried += 1) {
      const thin = Number((this.#get(NEXT_THIN) as { thin: bigint }).thin)
      const inserted = this.claims.has(thin) ? undefined : this.insertWith(thin, row, parent)
      if (inserted) return inserted
    }
    throw new DmThinError('DM_POOL_FULL', `the store has no thin id left of ${THIN_IDS}`)
  }

  /** Inserts a row with a thin id. Returns undefined if another row has it. */
  insertWith(thin: number, row: RowInsert, parent?: Row): Row | undefined {
    const { at, parent: parentId, raw = false, resets = null, snapshotTime = null, ...rest } = row
    const { key, kind, state, owner, sizeBytes, fileSystem, labels } = rest
    const before = [key, kind, state, owner, parentId, sizeBytes, fileSystem, at, at, JSON.stringify(labels)]
    const { changes, lastInsertRowid } = this.#run(INSERT, ...before, Number(raw), resets, snapshotTime, thin)
    if (changes === 0) return undefined
    const parentKey = parent && parent.kind !== 'base' ? parent.key! : ''
    const id = Number(lastInsertRowid)
    return { ...rest, raw, resets, id, thin, parentId, parentKey, createdAt: at, updatedAt: at, mappedBytes: null }
  }

  /** Runs `body`, whose reads have the state of one moment. It is the fastest way to read several rows. */
  reading<T>(body: () => T): T {
    return databaseFaults(this.#database.name, () => this.#database.deferred(body))
  }

  /** Records a volume of the pool that has no record, so that its thin id is never chosen. */
  retire(thin: number, at: bigint): void {
    const sql = `INSERT OR IGNORE INTO layer (kind, state, thin, size, fs, created, updated, labels)
      VALUES ('active', 'retired', ?, 0, '', ?, ?, '{}')`
    this.#run(sql, thin, at, at)
  }

  /**
   * Changes a row if its state is one of `from`. Returns the new row, or undefined if it was not changed. If a row is passed,
   * it is not read again.
   */
  update(which: number | Row, from: readonly RowState[], change: RowChange): Row | undefined {
    const id = typeof which === 'number' ? which : which.id
    const sets: string[] = []
    const values: SqlValue[] = []
    for (const [name, value] of Object.entries(change)) {
      if (value === undefined) continue
      sets.push(`${COLUMN[name as keyof RowChange]} = ?`)
      values.push(name === 'labels' ? JSON.stringify(value) : (value as SqlValue))
    }
    const states = from.map(() => '?').join(', ')
    // The id of a deleted row may have been reused. Its thin id is not reused for a long time.
    const [same, thin] = typeof which === 'number' ? ['', []] : [' AND thin = ?', [which.thin]]
    const sql = `UPDATE layer SET ${sets.join(', ')} WHERE id = ?${same} AND state IN (${states})`
    if (this.#run(sql, ...values, id, ...thin, ...from).changes === 0) return undefined
    return typeof which === 'number' ? this.byId(id) : { ...which, ...change }
  }

  /** Abandons the layer of a call that failed, unless another call has committed, removed or used it. */
  rollBack(row: Row, owner: string): Row | undefined {
    const now = this.byId(row.id)
    const isSame = now?.thin === row.thin && now.key === row.key && now.kind === row.kind && !this.childOf(row.id)
    return isSame ? this.abandon(row.id, ['making', 'ready'], owner) : undefined
  }

  /** Removes a layer for callers. `owner` deletes the volume, or another store object after the end of `owner`. */
  abandon(id: number, from: readonly RowState[], owner: string): Row | undefined {
    return this.update(id, from, { key: null, state: 'removing', owner })
  }

  /** Takes over a removal if its owner has not changed since the row was read. */
  takeOver(row: Row, owner: string): Row | undefined {
    const isSame = this.byId(row.id)?.owner === row.owner
    return isSame ? this.update(row, ['removing'], { owner }) : undefined
  }

  /** Deletes a row if its thin id is unchanged. */
  delete({ id, thin }: Pick<Row, 'id' | 'thin'>): void {
    this.#run('DELETE FROM layer WHERE id = ? AND thin = ?', id, thin)
  }

  count(): number {
    return Number((this.#get('SELECT count(*) AS n FROM layer WHERE key IS NOT NULL') as { n: bigint }).n)
  }

  #row(where: string, ...values: SqlValue[]): Row | undefined {
    const found = this.#get(`SELECT ${COLUMNS} WHERE ${where}`, ...values)
    return found === undefined ? undefined : rowOf(found as Stored)
  }

  #rows(where: string, ...values: SqlValue[]): Row[] {
    const read = () => this.#statement(`SELECT ${COLUMNS} WHERE ${where}`).all(...values) as Stored[]
    return databaseFaults(this.#database.name, read).map(rowOf)
  }

  /** Returns a column. SQLite writes one text, so that no object and no bigint is made for each row (`open-10k`). */
  #numbers(column: string, where: string): number[] {
    const found = this.#get(`SELECT json_group_array(${column}) AS list FROM layer WHERE ${where}`)
    return JSON.parse((found as { list: string }).list) as number[]
  }

  #get(sql: string, ...values: SqlValue[]): unknown {
    return databaseFaults(this.#database.name, () => this.#statement(sql).get(...values))
  }

  #run(sql: string, ...values: SqlValue[]) {
    return this.#statement(sql).run(...values)
  }

  #statement(sql: string): Statement {
    let known = this.#statements.get(sql)
    if (!known) this.#statements.set(sql, (known = this.#database.prepare(sql)))
    return known
  }
}

const COLUMN: Readonly<Record<keyof RowChange, string>> = {
  key: 'key',
  kind: 'kind',
  state: 'state',
  owner: 'owner',
  parentId: 'parent',
  thin: 'thin',
  sizeBytes: 'size',
  createdAt: 'created',
  updatedAt: 'updated',
  mappedBytes: 'mapped',
  labels: 'labels',
}

interface Stored {
  readonly id: bigint
  readonly key: string | null
  readonly kind: Row['kind']
  readonly state: RowState
  readonly owner: string | null
  readonly parent: bigint | null
  readonly parent_key: string | null
  readonly parent_kind: Row['kind'] | null
  readonly thin: bigint
  readonly size: bigint
  readonly fs: LayerFileSystem
  readonly created: bigint
  readonly updated: bigint
  readonly mapped: bigint | null
  readonly labels: string
  readonly raw: bigint
  readonly resets: bigint | null
}

const rowOf = (stored: Stored): Row => ({
  id: Number(stored.id),
  key: stored.key,
  kind: stored.kind,
  state: stored.state,
  owner: stored.owner,
  parentId: stored.parent === null ? null : Number(stored.parent),
  parentKey: stored.parent_kind === 'base' ? '' : (stored.parent_key ?? ''),
  thin: Number(stored.thin),
  sizeBytes: Number(stored.size),
  fileSystem: stored.fs,
  createdAt: stored.created,
  updatedAt: stored.updated,
  mappedBytes: stored.mapped === null ? null : Number(stored.mapped),
  labels: JSON.parse(stored.labels) as Row['labels'],
  raw: stored.raw !== 0n,
  resets: stored.resets === null ? null : Number(stored.resets),
})
