// A row whose volume is being made: when that fails, neither stays.
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
    await takeBack(parts, row, isMade, fault)
    throw fault
  }
}

async function takeBack(parts: RollbackParts, row: Row, isMade: boolean, fault: unknown): Promise<void> {
  const { records, writer, removals, owner } = parts
  try {
    if (!isMade) {
      // An id that is taken is somebody else's, whoever that is: it is not ours to delete, and never chosen again.
      const retired = { state: 'retired', key: null, owner: null } as const
      await writer.write(() => (isTaken(fault) ? records.update(row, ['making'], retired) : records.delete(row)))
      return
    }
    const left = await writer.write(() => records.takeBack(row, owner.id))
    // A snapshot that nobody was given has what its origin has: nothing is to be discarded.
    if (left) await removals.now(left, row.kind === 'base')
  } catch {
    // The first fault is the one that is told. What cannot even be recorded goes with its owner, at an open after it; or
    // it is there already, and whole.
  }
}

/** The pool has a volume with the id that was chosen. */
export const isTaken = (fault: unknown): boolean => hasCode(fault, 'DM_VOLUME_EXISTS')
