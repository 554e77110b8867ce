// What differs between a layer and its child, both mounted somewhere: Docker's list.
import { isUtf8 } from 'node:buffer'
import { checkOptions, checkPath, type SignalOption } from '../../base/options.js'
import { TreeComparison, type ChangesProgress } from './tree-comparison.js'
import type { TreeKind, TreeRecord } from './tree-record.js'

export type { ChangesProgress } from './tree-comparison.js'

/** `A`: added. `C`: changed, or a directory in which something is. `D`: deleted, with all that was in it. */
export type ChangeKind = Exclude<TreeKind, 'U'>

export interface Change {
  readonly kind: ChangeKind
  /** From the layer's root: `/etc/passwd`. Bytes that are not UTF-8 are U+FFFD in it; see `pathBytes`. */
  readonly path: string
  /** The path's bytes, only where they are not UTF-8. */
  readonly pathBytes?: Buffer
}

export interface ChangesOptions extends SignalOption {
  /** Called from time to time, on the JavaScript thread. What it throws ends the call. */
  readonly onProgress?: (progress: ChangesProgress) => void
}

/**
 * What differs between the mounted trees `lower` and `upper`, in the order of the paths' bytes. Without `lower`
 * everything in `upper` is added.
 *
 * A file differs where its type, mode, owner, size, time of modification (in nanoseconds), device number, link target or
 * extended attributes do; of a directory, size and times do not count. The same inode number with the same size and times
 * of modification and change is the same file, and is not read: so it is with all that a snapshot's file system has
 * untouched. Where only inode number or time of change differ, contents and attributes are compared. A directory in which
 * something was added, changed or deleted is `C`; of a deleted one only the topmost is listed. `/` is listed where it
 * differs itself (without `lower`: from a directory of root's with mode 0755). `security.selinux` does not count.
 *
 * Symbolic links are not followed, mounts inside the trees are not entered. Neither tree may be written to meanwhile.
 *
 * Rejects with `DM_FILE_MISSING`, `DM_INVALID_ARGUMENT` (not a directory), `DM_LAYER_CHANGED`, `DM_PERMISSION`,
 * `DM_UNSUPPORTED` (something is mounted inside, and the kernel does not let us look below it), `DM_KERNEL`,
 * `ABORT_ERR`.
 */
export async function changes(
  lower: string | undefined,
  upper: string,
  options: ChangesOptions = {},
): Promise<Change[]> {
  checkTrees(lower, upper)
  checkOptions(options, ['onProgress', 'signal'], 'changes')
  const { signal, onProgress } = options
  const comparison = await TreeComparison.open({ lower, upper, detail: false }, signal)
  try {
    return (await comparison.records(onProgress)).map(plain)
  } finally {
    await comparison.close()
  }
}

/** @internal */
export function checkTrees(lower: unknown, upper: unknown): void {
  if (lower !== undefined) checkPath('lower', lower)
  checkPath('upper', upper)
}

function plain({ kind, key }: TreeRecord): Change {
  if (!/[^\x01-\x7f]/.test(key)) return { kind: kind as ChangeKind, path: key }
  const bytes = Buffer.from(key, 'latin1')
  const path = bytes.toString('utf8')
  return isUtf8(bytes) ? { kind: kind as ChangeKind, path } : { kind: kind as ChangeKind, path, pathBytes: bytes }
}
