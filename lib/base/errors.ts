// The single error class; `code` identifies the error. Codes are stable within a major version, and each has a heading
// in docs/errors.md. Messages are for people and may change.
import { getSystemErrorMap } from 'node:util'

/** A code that identifies the cause of a `DmThinError`. */
export type ErrorCode =
  | 'ABORT_ERR'
  | 'DM_ALREADY_ACTIVE'
  | 'DM_BOOKMARK_INVALID'
  | 'DM_BUSY'
  | 'DM_CHECK_FAILED'
  | 'DM_CLOSED'
  | 'DM_DEPENDENCY'
  | 'DM_FILE_ATTACHED'
  | 'DM_FILE_MISSING'
  | 'DM_FILE_NO_HOLES'
  | 'DM_FILE_SIZE'
  | 'DM_FILTER'
  | 'DM_IMAGE'
  | 'DM_INVALID_ARGUMENT'
  | 'DM_KERNEL'
  | 'DM_LAYER_CHANGED'
  | 'DM_LAYER_DAMAGED'
  | 'DM_LAYER_DIGEST'
  | 'DM_LAYER_EXISTS'
  | 'DM_LAYER_HAS_CHILDREN'
  | 'DM_LAYER_LIMIT'
  | 'DM_LAYER_NOT_FOUND'
  | 'DM_LAYER_SPACE'
  | 'DM_LAYER_STATE'
  | 'DM_LAYER_TAR'
  | 'DM_METADATA_BLANK'
  | 'DM_METADATA_BUSY'
  | 'DM_METADATA_CORRUPT'
  | 'DM_METADATA_NOT_BLANK'
  | 'DM_METADATA_SNAPSHOT_HELD'
  | 'DM_METADATA_SNAPSHOT_NOT_HELD'
  | 'DM_NAME_TAKEN'
  | 'DM_NOT_ACTIVE'
  | 'DM_NOT_A_POOL'
  | 'DM_NOT_COMMITTED'
  | 'DM_NOT_FOUND'
  | 'DM_PERMISSION'
  | 'DM_POOL_FAILED'
  | 'DM_POOL_FULL'
  | 'DM_POOL_IN_USE'
  | 'DM_POOL_MISMATCH'
  | 'DM_POOL_NOT_GROWN'
  | 'DM_POOL_READ_ONLY'
  | 'DM_POOL_RESERVE'
  | 'DM_POOL_SUSPENDED'
  | 'DM_POOL_WORN'
  | 'DM_RECORD'
  | 'DM_REPAIR_FAILED'
  | 'DM_SIGNATURE_FOUND'
  | 'DM_SIZE_UNKNOWN'
  | 'DM_STORE_DATABASE'
  | 'DM_STORE_MISMATCH'
  | 'DM_TABLE_REFUSED'
  | 'DM_TRANSACTION_MISMATCH'
  | 'DM_TRANSFER_INVALID'
  | 'DM_UDEV_TIMEOUT'
  | 'DM_UNAVAILABLE'
  | 'DM_UNSUPPORTED'
  | 'DM_VOLUME_ACTIVE'
  | 'DM_VOLUME_EXISTS'
  | 'DM_VOLUME_NOT_FOUND'

/** A rollback step of a failed call, newest first. `errno` 0: the step was rolled back. */
export interface RollbackStep {
  /** The operation of the rollback: `DM_DEV_REMOVE`, `delete 7`, `unlink` … */
  readonly operation: string
  /** The device name or path. */
  readonly device: string
  /**
   * 0: rolled back. Otherwise the errno of the failed rollback step; -1 if it failed without one. 125 (ECANCELED): not
   * attempted, because the rollback of a later step failed and its remains may use this.
   */
  readonly errno: number
}

/** A holder that keeps a device busy, as far as /proc and sysfs show it. */
export interface Holder {
  /**
   * The kind of the holder: `mount`, a mounted file system; `process`, an open descriptor; `device`, a stacked device.
   */
  readonly kind: 'mount' | 'process' | 'device'
  /** The mount point, the program's name, or the node of the device stacked on it. */
  readonly path: string
  /** The process id of the holder; 0 for a device. */
  readonly pid: number
}

/** The facts of a `DmThinError`, as its constructor takes them. */
export interface ErrorFacts {
  /** The kernel's errno, positive: 16 for EBUSY. Default: none, for an error that is not the kernel's. */
  readonly errno?: number | undefined
  /** The kernel's name of the rejected call: `DM_TABLE_LOAD`, `mount` … Default: none. */
  readonly operation?: string | undefined
  /** The name or path of the device that the call was about. Default: none. */
  readonly device?: string | undefined
  /** The requested or found value that explains the error. Default: none. */
  readonly detail?: string | undefined
  /** The kernel log's reason for a rejected table. Default: none. */
  readonly kernelReason?: string | undefined
  /** The number of attempts before the call failed. Default: none, if the call is attempted once. */
  readonly tries?: number | undefined
  /** The holders that keep the device busy. Default: an empty list. */
  readonly holders?: readonly Holder[] | undefined
  /** The number of the corrupt metadata block, in units of 4096 bytes. Default: none. */
  readonly block?: number | undefined
  /** The number of bytes that are missing. Default: none. */
  readonly missingBytes?: number | undefined
  /** The rollback steps of the failed call, newest first. Default: an empty list. */
  readonly rollback?: readonly RollbackStep[] | undefined
  /** The error behind this one, which becomes `Error.cause`. Default: none. */
  readonly cause?: unknown
}

/** The error that each call of this library throws or rejects with. */
export class DmThinError extends Error {
  /** `DmThinError`, or `AbortError` with the code `ABORT_ERR`, as for Node's own errors. */
  override readonly name: string = 'DmThinError'
  /** The code that identifies the error. Branch on this. */
  readonly code: ErrorCode
  /** The kernel's errno, positive, if the kernel rejected the call. */
  readonly errno: number | undefined
  /** The kernel's name of the rejected call: `DM_TABLE_LOAD`, `LOOP_CONFIGURE`, `mount` … */
  readonly operation: string | undefined
  /** The device name or path. */
  readonly device: string | undefined
  /** The requested or found value: the table line, the message, the other device. */
  readonly detail: string | undefined
  /** The reason for a rejected table in the kernel log, if /dev/kmsg could be read. */
  readonly kernelReason: string | undefined
  /** The number of attempts on a busy device. */
  readonly tries: number | undefined
  /** With `DM_BUSY`: the holders that were found. Empty if none was found. */
  readonly holders: readonly Holder[]
  /**
   * With `DM_METADATA_CORRUPT`: the corrupt block of the metadata device, in units of 4096 bytes, if it is a single
   * one.
   */
  readonly block: number | undefined
  /** With `DM_POOL_RESERVE` and `DM_POOL_NOT_GROWN`: the number of bytes that are missing. */
  readonly missingBytes: number | undefined
  /** The rollback steps and their results. Empty if there was nothing to roll back. */
  readonly rollback: readonly RollbackStep[]

  /** Makes an error. Appends the failed steps of `facts.rollback` to the message. */
  constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}) {
    const failedUndo = (facts.rollback ?? []).filter(step => step.errno !== 0)
    const tail = failedUndo.map(step => `; not undone: ${step.operation} of ${step.device} (${errnoName(step.errno)})`)
    // The message of a refined error already contains the failed steps.
    super(
      message + tail.filter(text => !message.includes(text)).join(''),
      facts.cause === undefined ? {} : { cause: facts.cause },
    )
    this.code = code
    this.errno = facts.errno
    this.operation = facts.operation
    this.device = facts.device
    this.detail = facts.detail
    this.kernelReason = facts.kernelReason
    this.tries = facts.tries
    this.holders = facts.holders ?? []
    this.block = facts.block
    this.missingBytes = facts.missingBytes
    this.rollback = facts.rollback ?? []
    if (code === 'ABORT_ERR') this.name = 'AbortError'
  }

  /** Returns a copy with another code and message and every fact of this error, for a layer that knows more. */
  refined(code: ErrorCode, message: string, facts: ErrorFacts = {}): DmThinError {
    return new DmThinError(code, message, {
      errno: this.errno,
      operation: this.operation,
      device: this.device,
      detail: this.detail,
      kernelReason: this.kernelReason,
      tries: this.tries,
      holders: this.holders,
      block: this.block,
      missingBytes: this.missingBytes,
      rollback: this.rollback,
      cause: this.cause,
      ...facts,
    })
  }
}

/** @internal Returns true for an error of this library with one of these codes. */
export const hasCode = (fault: unknown, ...codes: readonly ErrorCode[]): fault is DmThinError =>
  fault instanceof DmThinError && codes.includes(fault.code)

/** Returns a handler for `catch` that returns undefined for an error with one of the codes, and rethrows others. */
export const undefinedIf =
  (...codes: readonly ErrorCode[]) =>
  (fault: unknown): undefined => {
    if (!hasCode(fault, ...codes)) throw fault
  }

/** Returns the error for an aborted signal, whose reason becomes the `cause`. */
export function abortError(signal: AbortSignal | undefined, facts: ErrorFacts = {}): DmThinError {
  const { operation, device, tries = 1 } = facts
  const about = device === undefined ? '' : ` of ${JSON.stringify(device)}`
  const what = operation === undefined ? '' : `${operation}${about}: `
  const after = tries > 1 ? ` after ${tries} tries` : ''
  const message = `${what}the call was aborted${after}`
  return new DmThinError('ABORT_ERR', message, { ...facts, cause: signal?.reason as unknown })
}

export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortError(signal)
}

/** The errno numbers that the library branches on: Linux's own, the same on x64 and arm64. */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  ENOTBLK: 15,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  ENOTDIR: 20,
  EINVAL: 22,
  ENOTTY: 25,
  EFBIG: 27,
  ENOSPC: 28,
  ERANGE: 34,
  ENOSYS: 38,
  ENODATA: 61,
  EBADMSG: 74,
  EILSEQ: 84,
  EOPNOTSUPP: 95,
  ETIMEDOUT: 110,
  EUCLEAN: 117,
  ECANCELED: 125,
} as const

// Node 20's table lacks these or has other names for them.
const SUPPLEMENT = new Map<number, [string, string]>([
  [15, ['ENOTBLK', 'block device required']],
  [95, ['EOPNOTSUPP', 'operation not supported']],
  [117, ['EUCLEAN', 'structure needs cleaning']],
  [129, ['EKEYREJECTED', 'key was rejected by service']],
])

/** Node makes a new table at each call. */
let table: Map<number, [string, string]> | undefined

function systemError(errno: number): [string, string] {
  table ??= getSystemErrorMap()
  return SUPPLEMENT.get(errno) ?? table.get(-errno) ?? [`errno ${errno}`, `error ${errno}`]
}

/** Returns `EBUSY` for 16. */
export const errnoName = (errno: number): string => (errno < 0 ? 'error' : systemError(errno)[0])
/** Returns `resource busy or locked` for 16. */
export const errnoText = (errno: number): string => systemError(errno)[1]
