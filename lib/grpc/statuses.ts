// The statuses of gRPC, and the translation of errors to them: one table for each server.
import type { ServiceError } from '@grpc/grpc-js'
import { DmThinError, type ErrorCode } from '../base/errors.js'

/** The status codes of the servers, with the numbers of gRPC. */
export const STATUS = {
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  UNAVAILABLE: 14,
} as const

export type Status = (typeof STATUS)[keyof typeof STATUS]

/** The error of a request that a server itself rejects. */
export class RequestError extends Error {
  readonly status: Status
  constructor(status: Status, message: string) {
    super(message)
    this.status = status
  }
}

/** The function that a server calls with errors that no client caused. */
export type Report = (text: string, error: unknown) => void

/** The statuses of error codes. A code that is missing is one that no client causes. */
type StatusTable = Partial<Record<ErrorCode, Status>>

/** The statuses of the snapshotter, in the classes that containerd distinguishes. */
export const SNAPSHOTTER: StatusTable = {
  ABORT_ERR: STATUS.CANCELLED,
  // containerd's garbage collection skips layers with FAILED_PRECONDITION, and stops at other statuses.
  DM_BUSY: STATUS.FAILED_PRECONDITION,
  DM_CLOSED: STATUS.UNAVAILABLE,
  DM_FILTER: STATUS.INVALID_ARGUMENT,
  DM_INVALID_ARGUMENT: STATUS.INVALID_ARGUMENT,
  DM_LAYER_EXISTS: STATUS.ALREADY_EXISTS,
  DM_LAYER_HAS_CHILDREN: STATUS.FAILED_PRECONDITION,
  DM_LAYER_NOT_FOUND: STATUS.NOT_FOUND,
  DM_LAYER_STATE: STATUS.FAILED_PRECONDITION,
  DM_POOL_FULL: STATUS.RESOURCE_EXHAUSTED,
  DM_POOL_SUSPENDED: STATUS.UNAVAILABLE,
  DM_UNSUPPORTED: STATUS.UNIMPLEMENTED,
}

/** The statuses of the server of snapshot metadata, by the specification of CSI. */
export const SNAPSHOT_METADATA: StatusTable = {
  ABORT_ERR: STATUS.CANCELLED,
  // For these, the specification has the client make a full backup instead.
  DM_BOOKMARK_INVALID: STATUS.FAILED_PRECONDITION,
  DM_LAYER_STATE: STATUS.FAILED_PRECONDITION,
  DM_SIZE_UNKNOWN: STATUS.FAILED_PRECONDITION,
  DM_UNSUPPORTED: STATUS.FAILED_PRECONDITION,
  DM_VOLUME_ACTIVE: STATUS.FAILED_PRECONDITION,
  // Written or deleted while it was read: the client must not continue.
  DM_METADATA_BUSY: STATUS.ABORTED,
  DM_FILE_MISSING: STATUS.NOT_FOUND,
  DM_LAYER_NOT_FOUND: STATUS.NOT_FOUND,
  DM_VOLUME_NOT_FOUND: STATUS.NOT_FOUND,
  DM_INVALID_ARGUMENT: STATUS.INVALID_ARGUMENT,
  DM_CLOSED: STATUS.UNAVAILABLE,
  DM_NOT_FOUND: STATUS.UNAVAILABLE,
}

/** Returns the status for the client. Passes errors that no client caused to `report` too. */
export function statusOf(table: StatusTable, error: unknown, about: string, report: Report) {
  if (error instanceof RequestError) return { code: error.status, details: error.message }
  const code = error instanceof DmThinError ? table[error.code] : undefined
  if (code === undefined) report(about, error)
  const details = error instanceof Error ? error.message : String(error)
  return { code: code ?? STATUS.UNKNOWN, details } satisfies Partial<ServiceError>
}
