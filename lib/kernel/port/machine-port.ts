// The calls of the machine's own kernel that the memory kernel does not have.
import type { Handle } from './handle.js'
import type { KernelPort } from './kernel-port.js'
import type { MountRequest } from './mount-port.js'

/** The properties that the kernel reports of a block device. */
export interface BlockInfo {
  /** The kernel's device number (`dev_t`). */
  readonly device: number
  /** The size of the device in bytes (BLKGETSIZE64). */
  readonly sizeBytes: number
  /** The smallest unit of reads and writes, in bytes. */
  readonly logicalBlockBytes: number
  /** The smallest unit that the device itself writes, in bytes. */
  readonly physicalBlockBytes: number
  /** True if the device accepts no writes. */
  readonly readOnly: boolean
  /** The smallest unit of discards, in bytes; 0 if the device does not support discards. */
  readonly discardGranularityBytes: number
  /** The maximum of one discard request, in bytes; 0 if the device does not support discards. */
  readonly discardMaxBytes: number
}

export interface BlockOpenRequest {
  readonly path: string
  readonly readOnly: boolean
  readonly exclusive: boolean
  readonly direct: boolean
}

export type Erasure = 'discard' | 'secureDiscard' | 'zeroOut'

export interface ByteRange {
  readonly offsetBytes: number
  readonly lengthBytes: number
}

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

export interface MetadataWalkRequest {
  /** The root of a volume's mapping tree. */
  readonly root: number
  /** The root of the volume to compare it with. Default: none, so that the walk returns the mappings. */
  readonly other?: number
  /** The number of metadata blocks in use, to which the nodes may refer. */
  readonly metadataBlocks: number
  /** The number of data blocks of the pool. */
  readonly dataBlocks: number
  /** The first virtual block, and the one after the last. */
  readonly from: number
  readonly to: number
  /** Ends ranges where the data blocks are not contiguous or the times differ. */
  readonly byData: boolean
  /** Includes ranges that are equal in both volumes, which reads both trees completely. */
  readonly same: boolean
}

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

/** The calls of the machine's own kernel. */
export interface MachinePort extends KernelPort {
  // Block devices: reads and writes past the page cache, and reads of ranges by path.

  blockOpen(request: BlockOpenRequest, signal?: AbortSignal): Promise<BlockInfo & { readonly handle: Handle }>
  blockInfo(handle: Handle, signal?: AbortSignal): Promise<BlockInfo>
  /** Erases in pieces, between which an abort takes effect. */
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
  /** Fills `memory`, which must not be detached during the call. */
  blockRead(handle: Handle, offsetBytes: number, memory: Uint8Array, signal?: AbortSignal): Promise<void>
  blockWrite(handle: Handle, offsetBytes: number, memory: Uint8Array, signal?: AbortSignal): Promise<void>
  /** Returns zeroed memory whose address O_DIRECT accepts. */
  alignedBuffer(lengthBytes: number): Uint8Array
  /** Reads ranges of a device or file, in steps of 4096 bytes. Parts after its end are omitted. */
  peek(path: string, ranges: readonly ByteRange[], signal?: AbortSignal): Promise<Uint8Array[]>

  // Mounts, and mounted file systems.

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

  // The metadata of pools: blocks, and walks over mapping trees.

  /**
   * Opens a metadata device, or a file of one, for reading past the page cache. `exclusive`: EBUSY if a device is in use.
   * `blocks`: its size in blocks of 4096 bytes.
   */
  metadataOpen(
    path: string,
    exclusive: boolean,
    signal?: AbortSignal,
  ): Promise<{ readonly handle: Handle; readonly blocks: number }>
  /** Reads blocks of 4096 bytes; EIO past the end. */
  metadataRead(metadata: Handle, blocks: readonly number[], signal?: AbortSignal): Promise<Uint8Array[]>
  /** Opens a walk, which `release` closes. */
  metadataWalk(metadata: Handle, request: MetadataWalkRequest, signal?: AbortSignal): Promise<Handle>
  /**
   * Returns the next batch, in the format of native/metadata/range_list.h. One call at a time; there is no next batch
   * after the last, nor after a failure. EUCLEAN: a block violates the format; the detail is its number and the fault.
   */
  metadataNext(walk: Handle, signal?: AbortSignal): Promise<Float64Array>
  /**
   * Counts the mappings of the trees at `roots`, which are all of the pool. Returns the number of data blocks that at least
   * one tree maps, and for each root its mappings, and the data blocks that it alone maps. EUCLEAN: as `metadataNext`.
   */
  metadataUsage(
    metadata: Handle,
    roots: readonly number[],
    metadataBlocks: number,
    dataBlocks: number,
    signal?: AbortSignal,
  ): Promise<Float64Array>

  // Trees of files: mounted layers.

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

  // SHA-256 on native threads, by the OpenSSL that Node exports.

  /** Begins a digest; `release` ends it. Returns null if the process has no OpenSSL to compute it with. */
  digestOpen(): Handle | null
  /** Adds bytes. One call at a time for each handle. The chunks may not be changed or detached until it settles. */
  digestUpdate(digest: Handle, chunks: readonly Uint8Array[]): Promise<void>
  /** Returns the digest of everything that was added. No update may be in progress. Nothing can be added afterwards. */
  digestFinish(digest: Handle): Promise<Buffer>
  /** Returns the digest of `memory`, which may not be changed until then; null as `digestOpen` does. */
  sha256(memory: Uint8Array, signal?: AbortSignal): Promise<Uint8Array | null>
}
