// What an open store does first: it ends what dead processes began, and looks whether records and pool agree.
import type { StoreContext } from '../engine/context.js'
import type { StoreFinding } from '../common/findings.js'
import { leftMounts, sweepMount } from '../engine/temporary-mounts.js'
import type { Row } from '../records/row.js'
import { sweepStaging } from '../common/staging.js'

/** By how much a pool may be ahead of its records: what calls that died had told the pool and not yet recorded. */
const MOST_AHEAD = 1000n
const NONE: ReadonlySet<number> = new Set()

export async function recover(store: StoreContext): Promise<StoreFinding[]> {
  const findings: StoreFinding[] = []
  for (const folder of await leftMounts(store)) {
    await sweepMount(folder)
    findings.push({ kind: 'left-mounted', detail: folder, action: 'unmounted' })
  }
  // Whether the records are those of this pool is known before anything is deleted by them.
  const compared = await compare(store, true)
  const begun = await unfinished(store)
  // Read after the rows: for a dead owner's row no volume is made any more.
  const ids = begun.length === 0 ? NONE : await store.volumes.ids()
  for (const row of begun) {
    const action = await ended(store, row, ids, ageOf(compared))
    if (action) findings.push({ kind: 'unfinished', ...keyOf(row), thin: row.thin, action })
  }
  await store.leases.living() // those of dead owners are deleted
  await store.removals.takeOver()
  sweepStaging(store.directory, await store.owner.sweep())
  return [...findings, ...compared]
}

/**
 * `behind`: the pool is older than the records. `ahead`: the records are older than the pool, as after they were restored
 * from a backup: what they say is being made may have become a layer since, and be in use.
 */
type PoolAge = 'same' | 'behind' | 'ahead'

export function ageOf(findings: readonly StoreFinding[]): PoolAge {
  const kinds = new Set(findings.map(({ kind }) => kind))
  if (kinds.has('transaction-behind')) return 'behind'
  // A volume is recorded before it is made, so that one without a record was made after these records were written.
  return kinds.has('transaction-ahead') || kinds.has('volume-without-layer') ? 'ahead' : 'same'
}

/** Undefined: another process was quicker. */
async function ended(
  store: StoreContext,
  row: Row,
  ids: ReadonlySet<number>,
  age: PoolAge,
): Promise<StoreFinding['action'] | undefined> {
  if (age === 'behind') return 'none'
  if (age === 'same' || row.state !== 'making') return (await end(store, row, ids)) ? 'undone' : undefined
  const change = { state: 'retired', key: null, owner: null } as const
  return (await store.writer.write(() => store.records.update(row, ['making'], change))) ? 'retired' : undefined
}

/** What dead processes were making or committing. What they were removing the removals find by themselves. */
export async function unfinished({ records, owner }: StoreContext): Promise<Row[]> {
  const found: Row[] = []
  for (const row of records.unready()) {
    const isBegun = row.state === 'making' || row.state === 'committing'
    if (isBegun && row.owner !== null && !(await owner.lives(row.owner))) found.push(row)
  }
  return found
}

/**
 * What was being made goes; what was being committed is the active layer that it was. False: another was quicker. `ids`:
 * what the pool has, read after the row. Of a volume that is not in it only the row is deleted: the kernel would complain
 * of each call for it.
 */
export async function end(store: StoreContext, row: Row, ids: ReadonlySet<number>): Promise<boolean> {
  const { records, writer, removals, owner } = store
  const done = await writer.write(() => {
    const now = records.byId(row.id)
    if (!now || now.owner !== row.owner) return undefined // another process was quicker
    if (row.state !== 'making') return records.update(row.id, ['committing'], { state: 'ready', owner: null })
    if (ids.has(now.thin)) return records.abandon(row.id, ['making'], owner.id)
    records.delete(now)
    return now
  })
  if (done?.state === 'removing') removals.add(done)
  return done !== undefined
}

export const keyOf = (row: Row): { key?: string } => (row.key === null ? {} : { key: row.key })

/** Records against the pool's metadata. With `retire` no id of a volume without a record is ever chosen. */
export async function compare(store: StoreContext, retire: boolean): Promise<StoreFinding[]> {
  const { records, writer, pool } = store
  const findings: StoreFinding[] = []
  // The records first: calls under way raise the pool's id and then the records', so that the pool, read later, has at
  // least what was recorded.
  const recorded = records.transaction
  const { transactionId } = await pool.status()
  if (transactionId !== undefined && transactionId < recorded) {
    const detail = `the pool has ${transactionId}, the records ${recorded}`
    findings.push({ kind: 'transaction-behind', detail, action: 'none' })
  }
  if (transactionId !== undefined && transactionId - recorded > MOST_AHEAD) {
    const detail = `the pool has ${transactionId}, the records ${recorded}`
    findings.push({ kind: 'transaction-ahead', detail, action: 'none' })
  }
  const { lost, strange } = await disagreements(store)
  for (const row of lost) {
    findings.push({ kind: 'layer-without-volume', ...keyOf(row), thin: row.thin, action: 'none' })
  }
  if (retire && strange.length > 0) {
    await writer.write(() => strange.forEach(thin => records.retire(thin, store.clock())))
  }
  for (const thin of strange) {
    findings.push({ kind: 'volume-without-layer', thin, action: retire ? 'retired' : 'none' })
  }
  return findings
}

/**
 * The pool is read first and the records after: a row is written before its volume is made and deleted after that is
 * gone, so that a volume without a row is none of a call under way. What seems lost may be younger than the reading.
 */
async function disagreements(store: StoreContext): Promise<{ lost: Row[]; strange: number[] }> {
  let ids = await store.volumes.ids()
  let { lost, strange } = against(store, ids)
  if (lost.length + strange.length > 0) {
    ids = await store.volumes.ids()
    const again = against(store, ids)
    lost = again.lost.filter(row => lost.some(before => before.id === row.id))
    strange = again.strange.filter(thin => strange.includes(thin))
  }
  return { lost, strange }
}

function against({ records }: StoreContext, ids: ReadonlySet<number>): { lost: Row[]; strange: number[] } {
  const rows = records.all()
  const known = new Set(rows.map(row => row.thin))
  const lost = rows.filter(row => (row.state === 'ready' || row.state === 'committing') && !ids.has(row.thin))
  return { lost, strange: [...ids].filter(id => !known.has(id)) }
}
