// The end of an open store, and of its pool. Work in progress completes first. The files are closed last.
import { DmThinError } from '../../base/errors.js'
import type { StoreParts } from '../engine/parts.js'
import type { RemovedPool } from '../../pool/lifecycle/remove.js'
import type { OpenStore } from './open-store.js'

/** Stops background work, and waits for the work in progress. */
async function finishWork({ warm, removals, writer }: OpenStore): Promise<void> {
  await warm.close()
  await removals.stop()
  await writer.settled()
}

/** Rejects with `DM_BUSY` if another object has the store open, because it would lose its devices. */
async function refuseOthers({ owner, directory }: StoreParts): Promise<void> {
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

/** Removes the mapped devices of the pool, and closes the store, also if they cannot be removed. Rejects with `DM_BUSY`. */
export async function takeDownStore(store: OpenStore): Promise<RemovedPool> {
  try {
    await finishWork(store)
    await refuseOthers(store)
    return await store.pool.remove({ deactivate: true })
  } finally {
    await closeStore(store)
  }
}
