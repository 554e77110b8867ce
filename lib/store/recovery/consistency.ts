// The comparison of the store's records with the pool's metadata.
import type { StoreFinding } from '../common/findings.js'
import { isIn } from '../engine/claims.js'
import type { StoreParts } from '../engine/parts.js'
import { claimStates } from './unrecorded.js'
import type { Records } from '../records/records.js'
import type { Row } from '../records/row.js'

/** The number of transactions by which a pool may be ahead: dead calls may have committed the pool without recording it. */
const MAX_AHEAD = 1000n

type CompareParts = Pick<StoreParts, 'pool' | 'records' | 'writer' | 'owner' | 'claims' | 'volumes' | 'clock'>

/**
 * The age of the pool relative to the records. `behind`: the pool is older. `ahead`: the records are older, for example
 * because they were restored from a backup; a row that is `making` in them may have become a layer since, and be in use.
 */
export type PoolAge = 'same' | 'behind' | 'ahead'

export function ageOf(findings: readonly StoreFinding[]): PoolAge {
  const kinds = new Set(findings.map(({ kind }) => kind))
  if (kinds.has('transaction-behind')) return 'behind'
  // The id of a volume is recorded before the volume is created, with a row or with a claim. A volume without either was
  // created after these records were written.
  return kinds.has('transaction-ahead') || kinds.has('volume-without-layer') ? 'ahead' : 'same'
}

export const keyOf = (row: Row): { key?: string } => (row.key === null ? {} : { key: row.key })

/** Compares the records with the pool's metadata. `retire`: thin ids of volumes without a record are never chosen. */
export async function compare(parts: CompareParts, retire: boolean): Promise<StoreFinding[]> {
  const { records, writer, pool } = parts
  const findings: StoreFinding[] = []
  // The records are read first: calls in progress change the pool before they record it, so that the pool, read later, has at
  // least the recorded transaction id and number of snapshots.
  const [recorded, made] = records.reading(() => [records.transaction, records.snapshots] as const)
  const { transactionId, snapshots } = await pool.status()
  const behind = (detail: string) => findings.push({ kind: 'transaction-behind', detail, action: 'none' })
  if (transactionId !== undefined && transactionId < recorded) {
    behind(`the pool has ${transactionId}, the records ${recorded}`)
  } else if (snapshots !== undefined && snapshots.made < made) {
    // Only commit points increase the transaction id. The layers that were prepared since the last one show this.
    behind(`the pool has made ${snapshots.made} snapshots, the records show ${made}`)
  }
  if (transactionId !== undefined && transactionId - recorded > MAX_AHEAD) {
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
 * Returns the rows without a volume, and the volumes without a row that no call can have made. The pool is read before the
 * records. A row or a claim is written before its volume is created, and deleted after its volume, so that calls in progress
 * have no volume without either. Of its own claims, the store object knows which ids its calls use. A row without a volume may
 * be younger than the list of volumes, so that both are read again.
 */
async function disagreements(parts: CompareParts): Promise<{ lost: Row[]; strange: number[] }> {
  let { lost, strange } = await against(parts, await parts.volumes.ids())
  if (lost.length + strange.length > 0) {
    const again = await against(parts, await parts.volumes.ids())
    lost = again.lost.filter(row => lost.some(before => before.id === row.id))
    strange = again.strange.filter(thin => strange.includes(thin))
  }
  return { lost, strange }
}

async function against(parts: CompareParts, ids: ReadonlySet<number>): Promise<{ lost: Row[]; strange: number[] }> {
  const { alive, dead } = await claimStates(parts)
  const others = [...alive, ...dead].filter(({ owner }) => owner !== parts.owner.id)
  const isOfCall = (id: number) => parts.claims.isInUse(id) || others.some(claim => isIn(claim, id))
  // The rows are read after the claims, which end when their volumes have rows.
  const { known, lost } = parts.records.reading(() => rowsAgainst(parts.records, ids))
  return { lost, strange: [...ids].filter(id => !known.has(id) && !isOfCall(id)) }
}

/** Returns the thin ids of all rows, and the rows without a volume. Reads whole rows only of those that need it. */
function rowsAgainst(records: Records, ids: ReadonlySet<number>): { known: Set<number>; lost: Row[] } {
  const known = new Set(records.thinIds())
  const making = records.unready().filter(({ state }) => state === 'making')
  // The volume of a layer that is being reset is replaced. Until it is there again, another row has the content.
  const resetting = new Set(making.flatMap(({ thin, resets }) => (ids.has(thin) ? (resets ?? []) : [])))
  const lost = [...known]
    .filter(thin => !ids.has(thin))
    .map(thin => records.byThin(thin)!)
    .filter(({ id, state }) => (state === 'ready' || state === 'committing') && !resetting.has(id))
  return { known, lost: lost.sort((a, b) => a.id - b.id) }
}
