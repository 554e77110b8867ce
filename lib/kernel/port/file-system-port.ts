// Mounted file systems, and mounts.
import type { Handle, HandlePort } from './handle.js'
import type { MountRequest } from './mount-port.js'

export interface RemountRequest {
  readonly target: string
  /** MS_ flags to set and to clear; others keep their value. */
  readonly set: number
  readonly clear: number
  /** MS_BIND: changes the mount, and not the file system. */
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
  /** The length in bytes. Default: to the end. */
  readonly lengthBytes?: number
  readonly minimumBytes: number
}

/** The sizes of a file system before and after `growFileSystem`. */
export interface GrownFileSystem {
  /** The type of the file system: `ext4` or `xfs`, the two that the library grows. */
  readonly type: 'ext4' | 'xfs'
  /** The size of the device below, in bytes. */
  readonly deviceBytes: number
  /** The size before, according to statfs(2), in bytes: ext4 omits its own tables. */
  readonly beforeBytes: number
  /** The size after, according to statfs(2), in bytes. */
  readonly afterBytes: number
}

export interface FileSystemPort extends HandlePort {
  /**
   * Mounts outside any mount namespace: other processes do not see the mount, and it ends with `release` and with the
   * process. `path` is its root for this process. ENOSYS before Linux 5.2.
   */
  mountDetached(
    request: Omit<MountRequest, 'target'>,
    signal?: AbortSignal,
  ): Promise<{ readonly handle: Handle; readonly path: string }>
  remount(request: RemountRequest, signal?: AbortSignal): Promise<void>
  bindMount(request: BindRequest, signal?: AbortSignal): Promise<void>
  setPropagation(target: string, flags: number, signal?: AbortSignal): Promise<void>
  /** Freezes a file system. `release` and process.exit() thaw it too. */
  freeze(path: string, signal?: AbortSignal): Promise<Handle>
  /** Thaws a file system. If it is thawed already: no effect by handle, EINVAL by path. */
  thaw(frozen: Handle | string, signal?: AbortSignal): Promise<void>
  /** Discards unused blocks. Returns the number of bytes that the file system reports. */
  trim(request: TrimRequest, signal?: AbortSignal): Promise<number>
  growFileSystem(path: string, signal?: AbortSignal): Promise<GrownFileSystem>
  /** Grows a file system on a volume of a pool. During the call, no snapshot of the volume is taken. */
  growVolumeFileSystem(path: string, pool: string, thin: number, signal?: AbortSignal): Promise<GrownFileSystem>
}
