// Block devices: size, reads and writes past the page cache, and reads of ranges by path.
import type { Handle, HandlePort } from './handle.js'

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

export interface BlockPort extends HandlePort {
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
}

export interface ByteRange {
  readonly offsetBytes: number
  readonly lengthBytes: number
}
