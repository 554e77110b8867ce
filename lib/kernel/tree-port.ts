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
}
