// The end of an open store: its work in progress completes, and its files and its pool are closed.
import { DmThinError } from '../../base/errors.js'
import type { StoreParts } from '../engine/parts.js'
import type { OpenStore } from './open-store.js'

/** Stops background work, and waits for the work in progress. */
export async function finishWork({ warm, removals, writer }: OpenStore): Promise<void> {
  await warm.close()
  await removals.stop()
  await writer.settled()
}

/** Rejects with `DM_BUSY` if another object has the store open, because it would lose its devices. */
export async function refuseOthers({ owner, directory }: StoreParts): Promise<void> {
  const living = await owner.sweep()
  living.delete(owner.id)
  if (living.size === 0) return
  const text = `the store in ${directory} is open in ${living.size} other objects: close them first`
  throw new DmThinError('DM_BUSY', text, { device: directory })
}

/** Closes the store. The pool, its devices and the layers stay. */
export async function closeStore(store: OpenStore): Promise<void> {
  await finishWork(store)
  // If the records cannot be written, recovery ends the claims.
  const isSettled = await store.claims.release().catch(() => false)
  store.owner.end(isSettled)
  await store.pool.close()
  store.writer.close()
  store.database.close()
}
