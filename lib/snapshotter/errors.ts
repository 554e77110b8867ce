// The translation of errors to gRPC statuses, in the classes that containerd distinguishes.
import { DmThinError } from '../base/errors.js'
import { statusOf as statusIn, type Report, type StatusTable } from '../grpc/errors.js'
import { STATUS } from '../grpc/load.js'

const STATUS_OF: StatusTable = {
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
export function statusOf(error: unknown, about: string, report: Report) {
  const status = statusIn(STATUS_OF, error, about, report)
  // Clients look for "cannot remove" if a layer has children.
  const hasChildren = error instanceof DmThinError && error.code === 'DM_LAYER_HAS_CHILDREN'
  return hasChildren ? { ...status, details: `cannot remove snapshot: ${status.details}` } : status
}
