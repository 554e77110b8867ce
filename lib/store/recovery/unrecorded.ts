// Volumes of claimed thin ids that have no row: those of calls whose process died.
import { isIn } from '../engine/claims.js'
import type { StoreParts } from '../engine/parts.js'
import { insertRemoval } from '../engine/rollback.js'
import type { ClaimRow } from '../records/claim-rows.js'

type ClaimedParts = Pick<StoreParts, 'records' | 'owner'>

/** The claims by the state of their owners. */
interface ClaimStates {
  readonly alive: readonly ClaimRow[]
  /** The claims of owners that died. Their volumes without a row belong to unfinished calls. */
  readonly dead: readonly ClaimRow[]
  /**
   * The claims of owners that ended their claims: the records were restored from a copy that is older. A volume of such a
   * claim may have become a layer since.
   */
  readonly outdated: readonly ClaimRow[]
}

export async function claimStates({ records, owner }: ClaimedParts): Promise<ClaimStates> {
  const states = { alive: [] as ClaimRow[], dead: [] as ClaimRow[], outdated: [] as ClaimRow[] }
  for (const claim of records.claims.all()) {
    const isAlive = await owner.isAlive(claim.owner)
    states[isAlive ? 'alive' : owner.hasDied(claim.owner) ? 'dead' : 'outdated'].push(claim)
  }
  return states
}

/** The volumes without a row in claims of owners that died. */
interface Unrecorded {
  /** Those that a call made and did not return: snapshots to which nothing was written. */
  readonly unfinished: readonly number[]
  /** Others, which no call leaves. */
  readonly strange: readonly number[]
}

type FindParts = Pick<StoreParts, 'records' | 'volumes'>
type EndParts = FindParts & Pick<StoreParts, 'writer' | 'removals' | 'owner' | 'clock'>

/**
 * Finds the volumes without a row. The rows are read before the pool: a removal deletes the row after the volume, and the owners
 * of the claims are dead, so that they make no further volumes.
 */
export async function unrecorded(parts: FindParts, dead: readonly ClaimRow[]): Promise<Unrecorded> {
  const { records, volumes } = parts
  if (dead.length === 0) return { unfinished: [], strange: [] }
  const recorded = new Set(records.thinIds())
  const isUnrecorded = (id: number) => dead.some(claim => isIn(claim, id)) && !recorded.has(id)
  const found = [...(await volumes.ids())].filter(isUnrecorded)
  const unwritten = found.length === 0 ? new Set() : await volumes.unwritten(found)
  return { unfinished: found.filter(id => unwritten.has(id)), strange: found.filter(id => !unwritten.has(id)) }
}

/**
 * Ends the claims of dead owners. The volumes of their unfinished calls are removed, or retired if `retire`; other volumes
 * are retired. Returns the volumes that this call has removed or retired.
 */
export async function endClaims(parts: EndParts, dead: readonly ClaimRow[], retire: boolean): Promise<Unrecorded> {
  if (dead.length === 0) return { unfinished: [], strange: [] }
  const { records, writer, removals, clock } = parts
  const { unfinished, strange } = await unrecorded(parts, dead)
  const { ended, rows } = await writer.write(() => {
    const ended = dead.filter(claim => records.claims.delete(claim)) // another process may have ended some
    const isOurs = (id: number) => ended.some(claim => isIn(claim, id))
    for (const thin of [...strange, ...(retire ? unfinished : [])]) if (isOurs(thin)) records.retire(thin, clock())
    return { ended: isOurs, rows: retire ? [] : unfinished.filter(isOurs).map(thin => insertRemoval(parts, thin)) }
  })
  for (const row of rows) if (row) removals.add(row)
  return { unfinished: unfinished.filter(ended), strange: strange.filter(ended) }
}
