// The translation of errors to gRPC statuses, in the classes that containerd distinguishes.
import type { ServiceError } from '@grpc/grpc-js'
import { DmThinError, type ErrorCode } from '../base/errors.js'
import { STATUS, type Status } from './grpc.js'

/** The error of a request that the snapshotter itself rejects. */
export class RequestError extends Error {
  readonly status: Status
  constructor(status: Status, message: string) {
    super(message)
    this.status = status
  }
}

const STATUS_OF: Partial<Record<ErrorCode, Status>> = {
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

/** Returns the status for the client. Passes errors that no client caused to `report` too. */
export function statusOf(error: unknown, about: string, report: (text: string, error: unknown) => void) {
  if (error instanceof RequestError) return { code: error.status, details: error.message }
  const code = error instanceof DmThinError ? STATUS_OF[error.code] : undefined
  if (code === undefined) report(about, error)
  const text = error instanceof Error ? error.message : String(error)
  // Clients look for "cannot remove" if a layer has children.
  const hasChildren = error instanceof DmThinError && error.code === 'DM_LAYER_HAS_CHILDREN'
  const details = hasChildren ? `cannot remove snapshot: ${text}` : text
  return { code: code ?? STATUS.UNKNOWN, details } satisfies Partial<ServiceError>
}
