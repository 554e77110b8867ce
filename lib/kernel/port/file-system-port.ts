// Mounted file systems, and mounts of other kinds.
import type { Handle, HandlePort } from './handle.js'
import type { MountRequest } from './mount-port.js'

export interface RemountRequest {
  readonly target: string
  /** MS_ flags to set and to clear; the others stay. */
  readonly set: number
  readonly clear: number
  /** MS_BIND: the mount, and not the file system below it. */
  readonly mountAlone: boolean
  readonly data: string
}

export interface BindRequest {
  readonly source: string
  readonly target: string
  readonly recursive: boolean
  readonly readOnly: boolean
}

export interface TrimRequest {
  readonly path: string
  readonly offsetBytes: number
  /** Left out: to the end. */
  readonly lengthBytes?: number
  readonly minimumBytes: number
}

/** The sizes of a file system before and after `growFileSystem`. */
export interface GrownFileSystem {
  readonly type: 'ext4' | 'xfs'
  /** What the device below has, in bytes. */
  readonly deviceBytes: number
  /** What statfs(2) told before, in bytes: ext4 leaves its own tables out. */
  readonly beforeBytes: number
  /** What statfs(2) tells now, in bytes. */
  readonly afterBytes: number
}

export interface FileSystemPort extends HandlePort {
  /**
   * Mounts in no mount namespace: nobody else sees it, and it goes with `release` and with the process. `path` leads this
   * process to its root. ENOSYS before Linux 5.2.
   */
  mountDetached(
    request: Omit<MountRequest, 'target'>,
    signal?: AbortSignal,
  ): Promise<{ readonly handle: Handle; readonly path: string }>
  remount(request: RemountRequest, signal?: AbortSignal): Promise<void>
  bindMount(request: BindRequest, signal?: AbortSignal): Promise<void>
  setPropagation(target: string, flags: number, signal?: AbortSignal): Promise<void>
  /** Thawed by `release` too, and by process.exit(). */
  freeze(path: string, signal?: AbortSignal): Promise<Handle>
  /** By handle: nothing where it is thawed already. By path: EINVAL then. */
  thaw(frozen: Handle | string, signal?: AbortSignal): Promise<void>
  /** How many bytes the file system says that it discarded. */
  trim(request: TrimRequest, signal?: AbortSignal): Promise<number>
  growFileSystem(path: string, signal?: AbortSignal): Promise<GrownFileSystem>
}
