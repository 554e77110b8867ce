// The calls of a volume that read the metadata of its pool. The folder thin-metadata has them, which is above this one: it
// provides them when it is loaded, as the entry of the package does.
import type { DeltaRange } from '../../metadata/ranges.js'
import type { Bookmark, BookmarkOptions, WalkOptions } from '../../metadata/walk-options.js'
import type { PoolContext } from '../state/context.js'

export interface MetadataCalls {
  bookmark(pool: PoolContext, id: number, path: string, options: BookmarkOptions): Promise<Bookmark>
  changedSince(pool: PoolContext, id: number, path: string, options: WalkOptions): AsyncGenerator<DeltaRange, void>
}

let provided: MetadataCalls | undefined

/** Sets the calls. */
export function provideMetadataCalls(calls: MetadataCalls): void {
  provided = calls
}

/** Returns the calls. */
export function metadataCalls(): MetadataCalls {
  if (!provided) throw new Error('lib/thin-metadata/volume-calls.ts is not loaded')
  return provided
}
