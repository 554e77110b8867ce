// One class for every fault, told apart by `code`. The code is the contract: stable within a major version, with
// a heading of its own in docs/errors.md. Messages are for people and may change.
import { getSystemErrorMap } from 'node:util'

/** A code that identifies the cause of a `DmThinError`. */
export type ErrorCode =
  | 'ABORT_ERR'
  | 'DM_ALREADY_ACTIVE'
  | 'DM_BUSY'
  | 'DM_CHECK_FAILED'
  | 'DM_CLOSED'
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
  | 'DM_POOL_READ_ONLY'
  | 'DM_POOL_SUSPENDED'
  | 'DM_POOL_WORN'
  | 'DM_RECORD'
  | 'DM_SIGNATURE_FOUND'
  | 'DM_SIZE_UNKNOWN'
  | 'DM_STORE_DATABASE'
  | 'DM_STORE_DEPENDENCY'
  | 'DM_STORE_MISMATCH'
  | 'DM_TABLE_REFUSED'
  | 'DM_TRANSACTION_MISMATCH'
  | 'DM_UDEV_TIMEOUT'
  | 'DM_UNAVAILABLE'
  | 'DM_UNSUPPORTED'
  | 'DM_VOLUME_ACTIVE'
  | 'DM_VOLUME_EXISTS'
  | 'DM_VOLUME_NOT_FOUND'

/** A rollback step of a failed call, newest first. `errno` 0: it was rolled back. */
export interface RollbackStep {
  /** The undoing operation: `DM_DEV_REMOVE`, `delete 7`, `unlink` … */
  readonly operation: string
  /** What it was about: a device name or a path. */
  readonly device: string
  /**
   * 0: it was undone. The errno with which the undo itself failed; -1 where it failed without one. 125 (ECANCELED): not
   * tried, because the undo of a later step failed and what that left may lie on this.
   */
  readonly errno: number
}

/** Somebody who keeps a device busy, as far as /proc and sysfs tell. */
export interface Holder {
  readonly kind: 'mount' | 'process' | 'device'
  /** The mount point, the program's name, or the node of the device stacked on it. */
  readonly path: string
  /** A process that has it; 0 for a device. */
  readonly pid: number
}

/** The facts of a `DmThinError`, as its constructor takes them. */
export interface ErrorFacts {
  readonly errno?: number | undefined
  readonly operation?: string | undefined
  readonly device?: string | undefined
  readonly detail?: string | undefined
  readonly kernelReason?: string | undefined
  readonly tries?: number | undefined
  readonly holders?: readonly Holder[] | undefined
  readonly block?: number | undefined
  readonly rollback?: readonly RollbackStep[] | undefined
  readonly cause?: unknown
}

/** The error that each call of this library throws or rejects with. */
export class DmThinError extends Error {
  /** `DmThinError`, or `AbortError` with the code `ABORT_ERR`, as the errors of Node have it. */
  override readonly name: string = 'DmThinError'
  /** Which fault it is. Branch on this. */
  readonly code: ErrorCode
  /** The kernel's number, positive, where the kernel refused. */
  readonly errno: number | undefined
  /** The kernel's name of the refused call: `DM_TABLE_LOAD`, `LOOP_CONFIGURE`, `mount` … */
  readonly operation: string | undefined
  /** The device name or path it was about. */
  readonly device: string | undefined
  /** What was asked or found: the table line, the message, the other device. */
  readonly detail: string | undefined
  /** The kernel log's own reason for a refused table, when /dev/kmsg could be read. */
  readonly kernelReason: string | undefined
  /** How often a busy device was tried. */
  readonly tries: number | undefined
  /** With `DM_BUSY`: who was seen holding it. Empty when nobody could be seen. */
  readonly holders: readonly Holder[]
  /** With `DM_METADATA_CORRUPT`: the block of the metadata device, of 4096 bytes, that is wrong, where it is one. */
  readonly block: number | undefined
  /** What was undone and what was not. Empty when nothing had been done yet. */
  readonly rollback: readonly RollbackStep[]

  /** Makes an error; steps of `facts.rollback` that failed are appended to the message. */
  constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}) {
    const failedUndo = (facts.rollback ?? []).filter(step => step.errno !== 0)
    const tail = failedUndo.map(step => `; not undone: ${step.operation} of ${step.device} (${errnoName(step.errno)})`)
    // A refined message brings along what its first error already said.
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
    this.rollback = facts.rollback ?? []
    if (code === 'ABORT_ERR') this.name = 'AbortError'
  }

  /** A copy with another code and message that keeps every fact of this one, for a layer that knows more. */
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
      rollback: this.rollback,
      cause: this.cause,
      ...facts,
    })
  }
}

/** @internal Whether it is a fault of this library with one of these codes. */
export const hasCode = (fault: unknown, ...codes: readonly ErrorCode[]): fault is DmThinError =>
  fault instanceof DmThinError && codes.includes(fault.code)

/** For `catch`: undefined for an error with one of the codes; others are thrown again. */
export const undefinedIf =
  (...codes: readonly ErrorCode[]) =>
  (fault: unknown): undefined => {
    if (!hasCode(fault, ...codes)) throw fault
  }

/** What `signal.throwIfAborted()` would say, as this library says it; the reason stays as `cause`. */
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

/** errno numbers that the library branches on. Linux's own, the same on x64 and arm64. */
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
  ECANCELED: 125,
} as const

// Node 20's table lacks these or names them otherwise.
const SUPPLEMENT = new Map<number, [string, string]>([
  [15, ['ENOTBLK', 'block device required']],
  [95, ['EOPNOTSUPP', 'operation not supported']],
  [117, ['EUCLEAN', 'structure needs cleaning']],
  [129, ['EKEYREJECTED', 'key was rejected by service']],
])

function systemError(errno: number): [string, string] {
  return SUPPLEMENT.get(errno) ?? getSystemErrorMap().get(-errno) ?? [`errno ${errno}`, `error ${errno}`]
}

/** `EBUSY` for 16. */
export const errnoName = (errno: number): string => (errno < 0 ? 'error' : systemError(errno)[0])
/** `resource busy or locked` for 16. */
export const errnoText = (errno: number): string => systemError(errno)[1]
