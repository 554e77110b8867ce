// Trees of files: mounted layers.
import type { Handle, HandlePort } from './handle.js'

export interface TreeChangesRequest {
  /** Left out: everything in `upper` is added. */
  readonly lower?: string | undefined
  readonly upper: string
  /** Link targets, extended attributes, and the unchanged files that have several names: what a tar needs. */
  readonly detail: boolean
}

/** Beyond either, `treeWrite` fails with E2BIG: of "entries" or of "memory". */
export interface TreeLimits {
  /** Names that are made, missing parents among them. */
  readonly names: number
  /** Memory that is kept of the archive, in bytes. */
  readonly bytes: number
}

export interface TreePort extends HandlePort {
  /** Opens both trees; `release` closes them. */
  treeChangesOpen(request: TreeChangesRequest, signal?: AbortSignal): Promise<Handle>
  /** The next batch, as native/tree/tree_record.h says. One call at a time; after a failure there is no next one. */
  treeChangesNext(changes: Handle, signal?: AbortSignal): Promise<Uint8Array>
  /** Fills `memory` with parts of files of the upper tree. `request`: as native/tree/tree_read.h says. */
  treeRead(changes: Handle, request: Uint8Array, memory: Uint8Array, signal?: AbortSignal): Promise<void>

  /** Opens a directory to write an archive into. Closed by `release`. */
  treeOpen(path: string, limits: TreeLimits, signal?: AbortSignal): Promise<Handle>
  /**
   * Records as native/tree/write_batch.h has them; `chunks` are what its `chunk` records name. One call at a time for
   * each handle, and neither the batch nor the chunks may be changed or detached until it settles.
   */
  treeWrite(handle: Handle, batch: Uint8Array, chunks: readonly Uint8Array[], signal?: AbortSignal): Promise<void>
  /** Puts back the times of the last directory; with `sync` all is on the disk then. */
  treeFinish(handle: Handle, sync: boolean, signal?: AbortSignal): Promise<void>
}
