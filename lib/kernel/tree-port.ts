// The part of the kernel's door for trees of files: mounted layers.
import type { Handle } from './port.js'

export interface TreeChangesRequest {
  /** Left out: everything in `upper` is added. */
  readonly lower?: string | undefined
  readonly upper: string
  /** Link targets, extended attributes, and the unchanged files that have several names: what a tar needs. */
  readonly detail: boolean
}

export interface TreePort {
  /** Opens both trees; `release` closes them. */
  treeChangesOpen(request: TreeChangesRequest, signal?: AbortSignal): Promise<Handle>
  /** The next batch, as native/tree/tree_record.h says. One call at a time; after a failure there is no next one. */
  treeChangesNext(changes: Handle, signal?: AbortSignal): Promise<Uint8Array>
  /** Fills `memory` with parts of files of the upper tree. `request`: as native/tree/tree_read.h says. */
  treeRead(changes: Handle, request: Uint8Array, memory: Uint8Array, signal?: AbortSignal): Promise<void>

  /** A directory to write an archive into. At most `mostNames` names are made in it (E2BIG). Closed by `release`. */
  treeOpen(path: string, mostNames: number, signal?: AbortSignal): Promise<Handle>
  /**
   * Records as native/tree/write_batch.h has them; `chunks` are what its `chunk` records name. One call at a time for
   * each handle, and neither the batch nor the chunks may be changed or detached until it settles.
   */
  treeWrite(handle: Handle, batch: Uint8Array, chunks: readonly Uint8Array[], signal?: AbortSignal): Promise<void>
  /** The times of the directories; with `sync` all is on the disk then. */
  treeFinish(handle: Handle, sync: boolean, signal?: AbortSignal): Promise<void>
}
