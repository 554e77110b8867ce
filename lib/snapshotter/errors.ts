// Errors as gRPC statuses, in the classes that containerd branches on.
import type { ServiceError } from '@grpc/grpc-js'
import { DmThinError, type ErrorCode } from '../base/errors.js'
import { STATUS, type Status } from './grpc.js'

/** A request that the snapshotter itself refuses. */
export class RequestError extends Error {
  readonly status: Status
  constructor(status: Status, message: string) {
    super(message)
    this.status = status
  }
}

const STATUS_OF: Partial<Record<ErrorCode, Status>> = {
  ABORT_ERR: STATUS.CANCELLED,
  // Not UNAVAILABLE or the like: garbage collection of containerd skips these, and stops at any other.
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

/** Returns the status that the client gets. An error that no client caused is reported to `report` too. */
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
