// Volumes of claimed thin ids that have no row: those of calls that failed, and those of calls whose process died.
import { hasCode } from '../../base/errors.js'
import { isIn } from './claims.js'
import type { StoreParts } from './parts.js'
import { isTaken } from './rollback.js'
import type { NewVolume } from './volumes.js'
import type { ClaimRow } from '../records/claim-rows.js'
import type { Row, RowInsert } from '../records/row.js'

const TIMEOUT_MS = 1_000

interface Failed {
  /** True if the pool has the volume. */
  readonly isMade: boolean
  /** The row, if there is one. */
  readonly recorded?: Row | undefined
  readonly fault?: unknown
}

type UndoParts = Pick<StoreParts, 'records' | 'writer' | 'removals' | 'owner' | 'claims' | 'volumes' | 'clock'>

/** Deletes the volume of a call that failed, and its row. What cannot be deleted now is left to the removals. */
export async function undoUnrecorded(parts: UndoParts, volume: NewVolume, failed: Failed): Promise<void> {
  const { records, writer, removals, owner, claims, volumes, clock } = parts
  const { isMade, recorded, fault } = failed
  const { thin } = volume
  try {
    // A transaction whose sync failed is rejected, although its row may be on the disk.
    const row = recorded ?? (isMade ? records.byThin(thin) : undefined)
    if (row) {
      const left = await writer.write(() => records.rollBack(row, owner.id))
      if (left) await removals.now(left, false)
    } else if (isMade) {
      await volumes.destroy(volume, TIMEOUT_MS, false).catch(() => removeLater(parts, [thin]))
    } else if (isTaken(fault)) {
      // The volume belongs to another program: it is not deleted, and the id is never chosen again.
      await writer.write(() => records.retire(thin, clock()))
    } else if (hasCode(fault, 'DM_NOT_COMMITTED')) {
      return // the pool may have the volume: the claim stays until it is known
    }
    claims.settle(thin)
  } catch {
    // The first error is the one that is reported. The claim stays, and an `open` after the owner's end deletes the volume.
  }
}

/** Records removals of volumes that nothing was written to. */
async function removeLater(parts: UndoParts, thins: readonly number[]): Promise<void> {
  const rows = await parts.writer.write(() => thins.map(thin => removing(parts, thin)))
  for (const row of rows) if (row) parts.removals.add(row)
}

/** Inserts the row of a removal. Returns undefined if there is a row with the thin id. */
function removing({ records, owner, clock }: Pick<UndoParts, 'records' | 'owner' | 'clock'>, thin: number) {
  const row: RowInsert = {
    key: null,
    kind: 'active',
    state: 'removing',
    owner: owner.id,
    parent: null,
    sizeBytes: 0, // nothing was written, so that there is nothing to discard
    fileSystem: 'ext4',
    at: clock(),
    labels: {},
  }
  return records.insertWith(thin, row)
}

type ClaimedParts = Pick<StoreParts, 'records' | 'owner'>

/** The claims by the state of their owners. */
export interface ClaimStates {
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
export interface Unrecorded {
  /** Those that a call made and did not return: snapshots to which nothing was written. */
  readonly unfinished: readonly number[]
  /** Others, which no call leaves. */
  readonly strange: readonly number[]
}

type FindParts = Pick<StoreParts, 'records' | 'volumes'>

/**
 * Finds the volumes without a row. The rows are read before the pool: a removal deletes the row after the volume, and the owners
 * of the claims are dead, so that they make no further volumes.
 */
export async function unrecorded(parts: FindParts, dead: readonly ClaimRow[]): Promise<Unrecorded> {
  const { records, volumes } = parts
  if (dead.length === 0) return { unfinished: [], strange: [] }
  const recorded = new Set(records.all().map(({ thin }) => thin))
  const isUnrecorded = (id: number) => dead.some(claim => isIn(claim, id)) && !recorded.has(id)
  const found = [...(await volumes.ids())].filter(isUnrecorded)
  const unwritten = found.length === 0 ? new Set() : await volumes.unwritten(found)
  return { unfinished: found.filter(id => unwritten.has(id)), strange: found.filter(id => !unwritten.has(id)) }
}

/**
 * Ends the claims of dead owners. The volumes of their unfinished calls are removed, or retired if `retire`; other volumes
 * are retired. Returns the volumes that this call has removed or retired.
 */
export async function endClaims(parts: UndoParts, dead: readonly ClaimRow[], retire: boolean): Promise<Unrecorded> {
  if (dead.length === 0) return { unfinished: [], strange: [] }
  const { records, writer, removals, clock } = parts
  const { unfinished, strange } = await unrecorded(parts, dead)
  const { ended, rows } = await writer.write(() => {
    const ended = dead.filter(claim => records.claims.delete(claim)) // another process may have ended some
    const isOurs = (id: number) => ended.some(claim => isIn(claim, id))
    for (const thin of [...strange, ...(retire ? unfinished : [])]) if (isOurs(thin)) records.retire(thin, clock())
    return { ended: isOurs, rows: retire ? [] : unfinished.filter(isOurs).map(thin => removing(parts, thin)) }
  })
  for (const row of rows) if (row) removals.add(row)
  return { unfinished: unfinished.filter(ended), strange: strange.filter(ended) }
}
