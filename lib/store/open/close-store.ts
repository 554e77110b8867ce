// Closing a store: what it was doing ends, and what it holds open is closed.
import { DmThinError } from '../../base/errors.js'
import type { StoreParts } from '../engine/parts.js'
import type { OpenStore } from './open-store.js'

/** Begins nothing any more, and waits for what has begun. */
export async function finishWork({ warm, removals, writer }: OpenStore): Promise<void> {
  await warm.close()
  await removals.stop()
  await writer.settled()
}

/** Another store object that lives would find its devices gone. */
export async function refuseOthers({ owner, directory }: StoreParts): Promise<void> {
  const living = await owner.sweep()
  living.delete(owner.id)
  if (living.size === 0) return
  const text = `the store in ${directory} is open in ${living.size} other objects: close them first`
  throw new DmThinError('DM_BUSY', text, { device: directory })
}

/** The pool, its devices and the layers stay. */
export async function closeStore(store: OpenStore): Promise<void> {
  await finishWork(store)
  store.owner.end()
  await store.pool.close()
  store.writer.close()
  store.database.close()
}
