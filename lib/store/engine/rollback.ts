// Rollback of the creation of a layer: removes its volume and its row.
import { hasCode } from '../../base/errors.js'
import type { StoreParts } from './parts.js'
import type { Row } from '../records/row.js'

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
