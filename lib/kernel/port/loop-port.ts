// Loop devices.
import type { Handle, HandlePort } from './handle.js'

export interface LoopRequest {
  readonly file: string
  /** Left out: one that is free. */
  readonly number?: number
  /** `lo_file_name`; empty or left out: the file's path. */
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
  /** Whether the kernel looks for partitions on it. */
  readonly partitionScan: boolean
  /** Its logical block size. */
  readonly blockSizeBytes: number
  /** What whoever attached it left in `lo_file_name`. */
  readonly reference: string
}

export interface LoopPort extends HandlePort {
  loopAttach(request: LoopRequest, signal?: AbortSignal): Promise<LoopStatus & { readonly held: Handle }>
  loopList(signal?: AbortSignal): Promise<LoopStatus[]>
  loopStatus(number: number, signal?: AbortSignal): Promise<LoopStatus>
  loopSetCapacity(number: number, signal?: AbortSignal): Promise<LoopStatus>
  loopChangeFile(number: number, file: string, signal?: AbortSignal): Promise<LoopStatus>
  loopSetDirectIo(number: number, directIo: boolean, signal?: AbortSignal): Promise<LoopStatus>
  /** Asks once: whether it is detached already, or will be when its last user closes it. */
  loopDetachAtLastClose(number: number, signal?: AbortSignal): Promise<boolean>
  loopDetach(number: number, limitMs: number, signal?: AbortSignal): Promise<void>
  loopHold(number: number, signal?: AbortSignal): Promise<Handle>
}
