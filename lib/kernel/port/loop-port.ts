// Loop devices.
import type { Handle, HandlePort } from './handle.js'

export interface LoopRequest {
  readonly file: string
  /** The number of the loop device. Default: a free one. */
  readonly number?: number
  /** `lo_file_name`. Default, also for an empty text: the file's path. */
  readonly reference?: string
  readonly readOnly?: boolean
  readonly directIo?: boolean
  readonly autoclear?: boolean
  readonly partitionScan?: boolean
  readonly offsetBytes?: number
  readonly sizeLimitBytes?: number
  readonly blockSizeBytes?: number
}

/** The state of a loop device. */
export interface LoopStatus {
  /** N of `/dev/loopN`. */
  readonly number: number
  /**
   * The path of the file, as sysfs shows it: absolute, and followed by ` (deleted)` if the file has no name any more.
   */
  readonly file: string
  /** The device number (`dev_t`) of the file system that contains the file. */
  readonly backingDevice: number
  /** The inode number of the file in its file system. */
  readonly backingInode: bigint
  /** The start of the device in the file, in bytes. */
  readonly offsetBytes: number
  /** The maximum size of the device in bytes; 0 if the device extends to the end of the file. */
  readonly sizeLimitBytes: number
  /** The size of the device in bytes, in whole sectors of 512 bytes. */
  readonly sizeBytes: number
  /** True if the device accepts no writes. */
  readonly readOnly: boolean
  /** True if the kernel detaches the device at its last close (LO_FLAGS_AUTOCLEAR). */
  readonly autoclear: boolean
  /** True if the device bypasses the page cache of the file (LO_FLAGS_DIRECT_IO). */
  readonly directIo: boolean
  /** True if the kernel searches the device for partitions (LO_FLAGS_PARTSCAN). */
  readonly partitionScan: boolean
  /** The logical block size in bytes, 512 to 4096: the smallest unit of reads and writes. */
  readonly blockSizeBytes: number
  /** The text that the program which attached the device stored in `lo_file_name`. */
  readonly reference: string
}

export interface LoopPort extends HandlePort {
  loopAttach(request: LoopRequest, signal?: AbortSignal): Promise<LoopStatus & { readonly held: Handle }>
  loopList(signal?: AbortSignal): Promise<LoopStatus[]>
  loopStatus(number: number, signal?: AbortSignal): Promise<LoopStatus>
  loopSetCapacity(number: number, signal?: AbortSignal): Promise<LoopStatus>
  loopChangeFile(number: number, file: string, signal?: AbortSignal): Promise<LoopStatus>
  loopSetDirectIo(number: number, directIo: boolean, signal?: AbortSignal): Promise<LoopStatus>
  /** Requests the detach once. Returns true if the device is detached, or will be when its last user closes it. */
  loopDetachAtLastClose(number: number, signal?: AbortSignal): Promise<boolean>
  loopDetach(number: number, limitMs: number, signal?: AbortSignal): Promise<void>
  loopHold(number: number, signal?: AbortSignal): Promise<Handle>
}
