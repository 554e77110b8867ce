// The differences between a layer and its child, both mounted, as the list of Docker.
import { isUtf8 } from 'node:buffer'
import { checkOptions, checkPath, type SignalOption } from '../../base/options.js'
import { TreeComparison, type ChangesProgress } from './tree-comparison.js'
import type { TreeRecord } from './tree-record.js'

export type { ChangesProgress } from './tree-comparison.js'

/**
 * The kind of a change. `A`: added. `C`: changed, or a directory with changed content. `D`: deleted, with its whole content.
 */
export type ChangeKind = 'A' | 'C' | 'D'

/** A path that differs between two trees. */
export interface Change {
  /** The kind of the change: added, changed or deleted. */
  readonly kind: ChangeKind
  /** The path from the root of the layer, such as `/etc/passwd`. Bytes that are not UTF-8 are U+FFFD; see `pathBytes`. */
  readonly path: string
  /** The bytes of the path, only if they are not UTF-8. */
  readonly pathBytes?: Buffer
}

/** Options of `changes`. */
export interface ChangesOptions extends SignalOption {
  /** Called from time to time, on the JavaScript thread. If it throws, the call rejects with its error. */
  readonly onProgress?: (progress: ChangesProgress) => void
}

/**
 * Returns the differences between the mounted trees `lower` and `upper`, in the order of the bytes of their paths. Without
 * `lower`, everything in `upper` is added.
 *
 * A file is changed if its type, mode, owner, size, time of modification (in nanoseconds), device number, link target or
 * extended attributes differ. The size and times of a directory are ignored. If inode number, size, time of modification and
 * time of change are equal, it is the same file and is not read; this is the case for all files that are unchanged since a
 * snapshot. If only the inode number or the time of change differ, contents and attributes are compared. A directory in
 * which something was added, changed or deleted is `C`. If a directory is deleted, its content is not listed. `/` is listed
 * if it differs itself (without `lower`: from a directory of root with mode 0755). `security.selinux` is ignored.
 *
 * Symbolic links are not followed, and mounts inside the trees are not entered. Neither tree may be written during the call.
 *
 * Rejects with `DM_FILE_MISSING`, `DM_INVALID_ARGUMENT` (not a directory), `DM_LAYER_CHANGED`, `DM_PERMISSION`,
 * `DM_UNSUPPORTED` (something is mounted inside, and the kernel does not allow access to the directory below the mount),
 * `DM_KERNEL`, `ABORT_ERR`.
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

/** @internal Checks the two paths. */
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
