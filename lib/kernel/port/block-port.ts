// Block devices: their size, their content past the page cache. And parts of what is on one.
import type { Handle, HandlePort } from './handle.js'

/** The properties that the kernel states of a block device. */
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

export interface BlockPort extends HandlePort {
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
