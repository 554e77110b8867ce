// Whether the store's records and the pool's metadata agree.
import type { StoreFinding } from '../common/findings.js'
import type { StoreParts } from '../engine/parts.js'
import type { Row } from '../records/row.js'

/** By how much a pool may be ahead of its records: what calls that died had told the pool and not yet recorded. */
const MOST_AHEAD = 1000n

type CompareParts = Pick<StoreParts, 'pool' | 'records' | 'writer' | 'volumes' | 'clock'>

/**
 * `behind`: the pool is older than the records. `ahead`: the records are older than the pool, as after they were restored
 * from a backup: what they say is being made may have become a layer since, and be in use.
 */
export type PoolAge = 'same' | 'behind' | 'ahead'

export function ageOf(findings: readonly StoreFinding[]): PoolAge {
  const kinds = new Set(findings.map(({ kind }) => kind))
  if (kinds.has('transaction-behind')) return 'behind'
  // A volume is recorded before it is made, so that one without a record was made after these records were written.
  return kinds.has('transaction-ahead') || kinds.has('volume-without-layer') ? 'ahead' : 'same'
}

export const keyOf = (row: Row): { key?: string } => (row.key === null ? {} : { key: row.key })

/** Records against the pool's metadata. With `retire` no id of a volume without a record is ever chosen. */
export async function compare(parts: CompareParts, retire: boolean): Promise<StoreFinding[]> {
  const { records, writer, pool } = parts
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
  const { lost, strange } = await disagreements(parts)
  for (const row of lost) {
    findings.push({ kind: 'layer-without-volume', ...keyOf(row), thin: row.thin, action: 'none' })
  }
  if (retire && strange.length > 0) {
    await writer.write(() => strange.forEach(thin => records.retire(thin, parts.clock())))
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
async function disagreements(parts: CompareParts): Promise<{ lost: Row[]; strange: number[] }> {
  let ids = await parts.volumes.ids()
  let { lost, strange } = against(parts, ids)
  if (lost.length + strange.length > 0) {
    ids = await parts.volumes.ids()
    const again = against(parts, ids)
    lost = again.lost.filter(row => lost.some(before => before.id === row.id))
    strange = again.strange.filter(thin => strange.includes(thin))
  }
  return { lost, strange }
}

function against({ records }: CompareParts, ids: ReadonlySet<number>): { lost: Row[]; strange: number[] } {
  const rows = records.all()
  const known = new Set(rows.map(row => row.thin))
  const lost = rows.filter(row => (row.state === 'ready' || row.state === 'committing') && !ids.has(row.thin))
  return { lost, strange: [...ids].filter(id => !known.has(id)) }
}
