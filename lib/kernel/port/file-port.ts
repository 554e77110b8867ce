// Files and device nodes, by path, as pools and their records need them.
import type { Handle, HandlePort } from './handle.js'

/** The space of a file system, in bytes. */
export interface FileSystemSpace {
  /** The space for programs without privileges. `Number.MAX_SAFE_INTEGER` if the file system has no limit. */
  readonly freeBytes: number
  readonly totalBytes: number
}

export interface FileIdentity {
  readonly device: number
  readonly inode: bigint
  readonly sizeBytes: number
  readonly allocatedBytes: number
  readonly regular: boolean
  readonly blockDevice: boolean
  /** The device number of a block device. */
  readonly targetDevice: number
}

export interface FilePort extends HandlePort {
  /** Takes an exclusive flock(2) on a block device's node, or on a folder, until `release`. Waits for it. */
  lockNode(path: string, signal?: AbortSignal): Promise<Handle>
  /** Returns the content; undefined if there is no such file. Rejects with `DM_RECORD` if it is not readable. */
  readSmallFile(path: string): Promise<string | undefined>
  /**
   * Replaces a file so that a crash of the machine leaves the old or the new content. The new content is on disk when
   * it resolves. Callers must exclude each other.
   */
  replaceSmallFile(path: string, content: string): Promise<void>
  /**
   * Reads a small file of /run. Works without a thread of Node: writers that wait for space in a pool may occupy all of
   * them, until the caller has grown the pool. Returns undefined if it is missing.
   */
  readRunFile(path: string): Promise<string | undefined>
  /** Replaces a small file of /run in one step, as `readRunFile` works. */
  replaceRunFile(path: string, content: string): Promise<void>
  /** Returns the space of the file system that has the file, also without a thread of Node. */
  fileSystemSpace(path: string): Promise<FileSystemSpace>
  identify(path: string, signal?: AbortSignal): Promise<FileIdentity>
  createSparse(
    path: string,
    sizeBytes: number,
    signal?: AbortSignal,
  ): Promise<FileIdentity & { readonly created: boolean }>
  growFile(path: string, sizeBytes: number, signal?: AbortSignal): Promise<FileIdentity>
  deleteFile(path: string, signal?: AbortSignal): Promise<void>
  blockSizeBytes(path: string, signal?: AbortSignal): Promise<number>
  /** Reads with O_DIRECT; blocks past the end read as zeros. `exclusive` rejects a device in use with EBUSY. */
  readBlocks(
    path: string,
    blocks: readonly number[],
    blockBytes: number,
    exclusive: boolean,
    signal?: AbortSignal,
  ): Promise<Uint8Array[]>
  /**
   * Zeroes blocks with O_DIRECT, followed by fdatasync; blocks past the end are skipped. Rejects a device in use with
   * EBUSY.
   */
  zeroBlocks(path: string, blocks: readonly number[], blockBytes: number, signal?: AbortSignal): Promise<void>
  /**
   * Resolves when all data written to the open file so far, by any process, is on its disk: fdatasync(2) of a
   * descriptor.
   */
  syncFile(file: number, signal?: AbortSignal): Promise<void>
  /** Allocates the holes of a file in its file system: fallocate(2) up to its size. */
  allocateFile(path: string, signal?: AbortSignal): Promise<void>
  /**
   * Resolves when all data of the open file's file system is on its disk: syncfs(2) of a descriptor. Rejects with an
   * error that the disk has reported since the file was opened.
   */
  syncFileSystem(file: number, signal?: AbortSignal): Promise<void>
}
