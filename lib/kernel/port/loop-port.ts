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
  readonly number: number
  readonly file: string
  readonly backingDevice: number
  readonly backingInode: bigint
  readonly offsetBytes: number
  readonly sizeLimitBytes: number
  readonly sizeBytes: number
  readonly readOnly: boolean
  readonly autoclear: boolean
  readonly directIo: boolean
  /** True if the kernel searches it for partitions. */
  readonly partitionScan: boolean
  /** Its logical block size in bytes. */
  readonly blockSizeBytes: number
  /** The text that whoever attached it stored in `lo_file_name`. */
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
