// The deletion of chunks that no backup names.
import { throwIfAborted } from '../../base/errors.js'
import { checkOptions, type SignalOption } from '../../base/options.js'
import type { ChunkStore } from './chunk-store.js'
import { readManifest } from './manifest.js'
import { readPage } from './pages.js'

/** The result of `collectGarbage`. */
export interface CollectedGarbage {
  /** The number of chunks that were deleted, pages among them. */
  readonly deleted: number
  /** The number of chunks that backups name, pages among them. */
  readonly kept: number
}

/**
 * Deletes the chunks that no manifest names: of deleted backups, and of calls that were interrupted. Waits until no backup is
 * being saved, in any process; calls of `saveBackup` wait until it ends. Holds the digests of all named chunks in memory.
 *
 * Rejects, without having deleted anything, if a manifest or a page cannot be read: with `DM_TRANSFER_INVALID`, or the error
 * of the store. Also rejects with `ABORT_ERR`.
 */
export async function collectGarbage(store: ChunkStore, options: SignalOption = {}): Promise<CollectedGarbage> {
  checkOptions(options, ['signal'], 'collectGarbage')
  const { signal } = options
  throwIfAborted(signal)
  const unlock = await store.lock('exclusive', signal)
  try {
    const named = await namedIn(store, signal)
    let [deleted, kept] = [0, 0]
    for await (const digest of store.digests()) {
      throwIfAborted(signal)
      if (named.has(digest)) kept++
      else {
        await store.delete(digest)
        deleted++
      }
    }
    return { deleted, kept }
  } finally {
    await unlock()
  }
}

/** Returns the digests of the pages of all manifests, and of the chunks that they list. */
async function namedIn(store: ChunkStore, signal: AbortSignal | undefined): Promise<ReadonlySet<string>> {
  const named = new Set<string>()
  for await (const name of store.manifests.list()) {
    for (const [index, page] of (await readManifest(store, name)).pages) {
      throwIfAborted(signal)
      if (named.has(page)) continue
      named.add(page)
      for (const { digest } of await readPage(store, index, page)) named.add(digest)
    }
  }
  return named
}
