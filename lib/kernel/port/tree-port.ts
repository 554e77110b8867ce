// Trees of files: mounted layers.
import type { Handle, HandlePort } from './handle.js'

export interface TreeChangesRequest {
  /** The lower tree. Default: none, so that everything in `upper` is added. */
  readonly lower?: string | undefined
  readonly upper: string
  /** Includes link targets, extended attributes, and unchanged files with several names, as a tar needs them. */
  readonly detail: boolean
}

/** Limits of `treeWrite`, beyond which it fails with E2BIG: for "entries" or for "memory". */
export interface TreeLimits {
  /** The number of names that are created, including missing parents. */
  readonly names: number
  /** Memory for data of the archive, in bytes. */
  readonly bytes: number
}

export interface TreePort extends HandlePort {
  /** Opens both trees; `release` closes them. */
  treeChangesOpen(request: TreeChangesRequest, signal?: AbortSignal): Promise<Handle>
  /**
   * Returns the next batch, in the format of native/tree/tree_record.h. One call at a time; there is no next batch
   * after a failure.
   */
  treeChangesNext(changes: Handle, signal?: AbortSignal): Promise<Uint8Array>
  /** Fills `memory` with parts of files of the upper tree. `request`: in the format of native/tree/tree_read.h. */
  treeRead(changes: Handle, request: Uint8Array, memory: Uint8Array, signal?: AbortSignal): Promise<void>

  /** Opens a directory into which an archive is unpacked. `release` closes it. */
  treeOpen(path: string, limits: TreeLimits, signal?: AbortSignal): Promise<Handle>
  /**
   * Writes records in the format of native/tree/write_batch.h; `chunks` are the data of its `chunk` records. One call
   * at a time for each handle. Neither the batch nor the chunks may be changed or detached until it settles.
   */
  treeWrite(handle: Handle, batch: Uint8Array, chunks: readonly Uint8Array[], signal?: AbortSignal): Promise<void>
  /** Restores the times of the last directory. With `sync`, all data is on disk afterwards. */
  treeFinish(handle: Handle, sync: boolean, signal?: AbortSignal): Promise<void>
}
