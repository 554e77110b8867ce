// The part of the kernel's door for trees of files.
import type { Handle } from './port.js'

export interface TreePort {
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
