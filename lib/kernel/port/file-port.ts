// Files and device nodes, by path: what pools and their records need.
import type { Handle, HandlePort } from './handle.js'

export interface FileIdentity {
  readonly device: number
  readonly inode: bigint
  readonly sizeBytes: number
  readonly allocatedBytes: number
  readonly regular: boolean
  readonly blockDevice: boolean
  /** Of a block device: its own number. */
  readonly targetDevice: number
}

export interface FilePort extends HandlePort {
  /** An exclusive flock(2) of a block device's node, or of a folder, until `release`. Waits for it. */
  lockNode(path: string, signal?: AbortSignal): Promise<Handle>
  /** Undefined where there is none. `DM_RECORD` where it cannot be read. */
  readSmallFile(path: string): Promise<string | undefined>
  /** Old or new content, whenever the machine stops; on disk when it resolves. Its callers exclude each other. */
  replaceSmallFile(path: string, content: string): Promise<void>
  identify(path: string, signal?: AbortSignal): Promise<FileIdentity>
  createSparse(
    path: string,
    sizeBytes: number,
    signal?: AbortSignal,
  ): Promise<FileIdentity & { readonly created: boolean }>
  growFile(path: string, sizeBytes: number, signal?: AbortSignal): Promise<FileIdentity>
  deleteFile(path: string, signal?: AbortSignal): Promise<void>
  blockSizeBytes(path: string, signal?: AbortSignal): Promise<number>
  /** O_DIRECT; blocks past the end read as zeros. `exclusive` refuses a device in use with EBUSY. */
  readBlocks(
    path: string,
    blocks: readonly number[],
    blockBytes: number,
    exclusive: boolean,
    signal?: AbortSignal,
  ): Promise<Uint8Array[]>
  /** O_DIRECT, then fdatasync; what lies past the end is left out. Refuses a device in use with EBUSY. */
  zeroBlocks(path: string, blocks: readonly number[], blockBytes: number, signal?: AbortSignal): Promise<void>
  /** Resolves when what anybody has written to the open file by now is on its disk. fdatasync(2) of a descriptor. */
  syncFile(file: number, signal?: AbortSignal): Promise<void>
  /** Takes the blocks of a file's holes from its file system. fallocate(2) up to its size. */
  allocateFile(path: string, signal?: AbortSignal): Promise<void>
  /**
   * Resolves when the file system of the open file has everything on its disk. Rejects with what the disk has refused since
   * the file was opened. syncfs(2) of a descriptor.
   */
  syncFileSystem(file: number, signal?: AbortSignal): Promise<void>
}
