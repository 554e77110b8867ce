// Rollback of the creation of a layer: removes its volume, and its row if it has one.
import { hasCode } from '../../base/errors.js'
import type { StoreParts } from './parts.js'
import type { NewVolume } from './volumes.js'
import type { Row, RowInsert } from '../records/row.js'

const TIMEOUT_MS = 1_000
/** The errors with which the pool rejects a snapshot, or with which a call ends before it asks the pool. */
const WITHOUT_VOLUME = ['DM_VOLUME_NOT_FOUND', 'DM_POOL_FULL', 'DM_POOL_RESERVE', 'DM_POOL_WORN', 'ABORT_ERR'] as const

type RollbackParts = Pick<StoreParts, 'records' | 'writer' | 'removals' | 'owner'>

/**
 * Runs `body`, which calls `made` when the pool has the volume. If it fails, rolls back the volume and the row, or leaves
 * both to the removals.
 */
export async function withRollback<T>(
  parts: RollbackParts,
  row: Row,
  body: (made: () => void) => Promise<T>,
): Promise<T> {
  let isMade = false
  try {
    return await body(() => (isMade = true))
  } catch (fault) {
    await rollBack(parts, row, isMade, fault)
    throw fault
  }
}

async function rollBack(parts: RollbackParts, row: Row, isMade: boolean, fault: unknown): Promise<void> {
  const { records, writer, removals, owner } = parts
  try {
    if (!isMade) {
      // If the pool already has a volume with this id, it belongs to another program: it is not deleted, and the id is
      // never chosen again.
      const retired = { state: 'retired', key: null, owner: null } as const
      await writer.write(() => (isTaken(fault) ? records.update(row, ['making'], retired) : records.delete(row)))
      return
    }
    const left = await writer.write(() => records.rollBack(row, owner.id))
    // A snapshot that was not used has only blocks of its origin, so that there is nothing to discard.
    if (left) await removals.now(left, row.parentId === null)
  } catch {
    // The first error is the one that is reported. If the rollback cannot be recorded, an `open` after the owner's end
    // removes the layer, unless it is complete.
  }
}

/** Returns whether the error means that the pool already has a volume with the chosen id. */
export const isTaken = (fault: unknown): boolean => hasCode(fault, 'DM_VOLUME_EXISTS')

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
    } else if (isMade || (await isFound(volumes, thin, fault))) {
      await volumes.destroy(volume, TIMEOUT_MS, false).catch(() => removeLater(parts, thin))
    } else if (isTaken(fault)) {
      // The volume belongs to another program: it is not deleted, and the id is never chosen again.
      await writer.write(() => records.retire(thin, clock()))
    }
    claims.settle(thin)
  } catch {
    // The first error is the one that is reported. The claim stays, and an `open` after the owner's end deletes the volume.
  }
}

/** Returns whether the pool has the volume of a call that failed with an error that leaves this open. */
async function isFound(volumes: UndoParts['volumes'], thin: number, fault: unknown): Promise<boolean> {
  return !isTaken(fault) && !hasCode(fault, ...WITHOUT_VOLUME) && (await volumes.ids()).has(thin)
}

async function removeLater(parts: UndoParts, thin: number): Promise<void> {
  const row = await parts.writer.write(() => insertRemoval(parts, thin))
  if (row) parts.removals.add(row)
}

/** Inserts the row of a removal of a volume that nothing was written to. Returns undefined if a row has the thin id. */
export function insertRemoval(
  { records, owner, clock }: Pick<UndoParts, 'records' | 'owner' | 'clock'>,
  thin: number,
): Row | undefined {
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
