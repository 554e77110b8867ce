// The part of the kernel's door for block devices, mounts and mounted file systems.
import type { Handle } from './handle.js'

export interface BlockInfo {
  /** `dev_t`, as the kernel's device number. */
  readonly device: number
  readonly sizeBytes: number
  /** The least that is read or written at once, in bytes. */
  readonly logicalBlockBytes: number
  /** What the device itself writes at once, in bytes. */
  readonly physicalBlockBytes: number
  /** Whether the device takes no writes. */
  readonly readOnly: boolean
  /** What it discards at the least, in bytes; 0 where it cannot discard. */
  readonly discardGranularityBytes: number
  /** What it discards in one request at the most, in bytes; 0 where it cannot discard. */
  readonly discardMaxBytes: number
}

export interface BlockOpenRequest {
  readonly path: string
  readonly readOnly: boolean
  readonly exclusive: boolean
  readonly direct: boolean
}

export type Erasure = 'discard' | 'secureDiscard' | 'zeroOut'

export interface BlockPort {
  blockOpen(request: BlockOpenRequest, signal?: AbortSignal): Promise<BlockInfo & { readonly handle: Handle }>
  blockInfo(handle: Handle, signal?: AbortSignal): Promise<BlockInfo>
  /** In pieces, so that an abort is heard between two. */
  blockErase(
    handle: Handle,
    how: Erasure,
    offsetBytes: number,
    lengthBytes: number,
    signal?: AbortSignal,
  ): Promise<void>
  blockSetReadOnly(handle: Handle, readOnly: boolean, signal?: AbortSignal): Promise<void>
  blockFlush(handle: Handle, dropCache: boolean, signal?: AbortSignal): Promise<void>
  blockReread(handle: Handle, signal?: AbortSignal): Promise<void>
  /** Fills `memory`, which must not be detached meanwhile. */
  blockRead(handle: Handle, offsetBytes: number, memory: Uint8Array, signal?: AbortSignal): Promise<void>
  blockWrite(handle: Handle, offsetBytes: number, memory: Uint8Array, signal?: AbortSignal): Promise<void>
  /** Zeros whose address O_DIRECT takes. */
  alignedBuffer(lengthBytes: number): Uint8Array
  /** Parts of a device or file; what lies behind its end is left out. In steps of 4096 bytes. */
  peek(path: string, ranges: readonly ByteRange[], signal?: AbortSignal): Promise<Uint8Array[]>
}

export interface ByteRange {
  readonly offsetBytes: number
  readonly lengthBytes: number
}

export interface MountRequest {
  readonly source: string
  readonly target: string
  readonly type: string
  readonly flags: number
  readonly data: string
}

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

export interface HolderInfo {
  readonly kind: 'mount' | 'process' | 'device'
  readonly path: string
  readonly pid: number
}

export interface TrimRequest {
  readonly path: string
  readonly offsetBytes: number
  /** Left out: to the end. */
  readonly lengthBytes?: number
  readonly minimumBytes: number
}

export interface GrownFileSystem {
  readonly type: 'ext4' | 'xfs'
  /** What the device below has, in bytes. */
  readonly deviceBytes: number
  /** What statfs(2) told before, in bytes: ext4 leaves its own tables out. */
  readonly beforeBytes: number
  /** What statfs(2) tells now, in bytes. */
  readonly afterBytes: number
}

export interface FileSystemPort {
  mount(request: MountRequest, signal?: AbortSignal): Promise<void>
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
  unmount(target: string, flags: number, signal?: AbortSignal): Promise<void>
  holders(device: number, signal?: AbortSignal): Promise<HolderInfo[]>
  holdersOfMount(target: string, signal?: AbortSignal): Promise<HolderInfo[]>
  /** Thawed by `release` too, and by process.exit(). */
  freeze(path: string, signal?: AbortSignal): Promise<Handle>
  /** By handle: nothing where it is thawed already. By path: EINVAL then. */
  thaw(frozen: Handle | string, signal?: AbortSignal): Promise<void>
  /** How many bytes the file system says that it discarded. */
  trim(request: TrimRequest, signal?: AbortSignal): Promise<number>
  growFileSystem(path: string, signal?: AbortSignal): Promise<GrownFileSystem>
}
