// A row whose volume is being made: when that fails, neither stays.
import { DmThinError } from '../errors.js'
import type { StoreContext } from './context.js'
import type { Row } from './row.js'

const UNDO_LIMIT_MS = 10_000

/** Runs `body`; if it fails, takes back the row and its volume, or leaves both to the removals. */
export async function undoing<T>(store: StoreContext, row: Row, body: () => Promise<T>): Promise<T> {
  try {
    return await body()
  } catch (fault) {
    await takeBack(store, row, fault)
    throw fault
  }
}

async function takeBack(store: StoreContext, row: Row, fault: unknown): Promise<void> {
  const { records, writer, removals } = store
  // The id is somebody else's, whoever that is: it is not ours to delete.
  if (isTaken(fault)) {
    await writer.write(() => records.update(row.id, ['making'], { state: 'retired', key: null, owner: null }))
    return
  }
  try {
    await store.volumes.destroy(row, UNDO_LIMIT_MS)
    await store.points.point()
    await writer.write(() => records.delete(row.id))
  } catch {
    const left = await writer.write(() =>
      records.update(row.id, ['making'], { state: 'removing', key: null, owner: null }),
    )
    if (left) removals.add(left)
  }
}

/** The pool has a volume with the id that was chosen. */
export const isTaken = (fault: unknown): boolean => fault instanceof DmThinError && fault.code === 'DM_VOLUME_EXISTS'
