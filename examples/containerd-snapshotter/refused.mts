// What goes wrong, in the classes that containerd branches on.
import { status, type ServiceError } from '@grpc/grpc-js'
import { DmThinError } from 'dm-thin'

/** Refused by this program itself. */
export class Refused extends Error {
  readonly code: status
  constructor(code: status, message: string) {
    super(message)
    this.code = code
  }
}

const STATUS: Readonly<Record<string, status>> = {
  ABORT_ERR: status.CANCELLED,
  // Not UNAVAILABLE or the like: on these containerd goes on with its garbage, on any other it stops.
  DM_BUSY: status.FAILED_PRECONDITION,
  DM_CLOSED: status.UNAVAILABLE,
  DM_FILTER: status.INVALID_ARGUMENT,
  DM_INVALID_ARGUMENT: status.INVALID_ARGUMENT,
  DM_LAYER_EXISTS: status.ALREADY_EXISTS,
  DM_LAYER_HAS_CHILDREN: status.FAILED_PRECONDITION,
  DM_LAYER_NOT_FOUND: status.NOT_FOUND,
  DM_LAYER_STATE: status.FAILED_PRECONDITION,
  DM_POOL_FULL: status.RESOURCE_EXHAUSTED,
  DM_POOL_SUSPENDED: status.UNAVAILABLE,
  DM_UNSUPPORTED: status.UNIMPLEMENTED,
}

/** The error that goes to the client. What is no fault of the client's is also said here. */
export function answerTo(error: unknown, call: string, key: string): Partial<ServiceError> {
  const about = `${call} ${JSON.stringify(key)}`
  if (error instanceof Refused) return { code: error.code, details: error.message }
  const code = error instanceof DmThinError ? STATUS[error.code] : undefined
  if (code === undefined) console.error(`${about}:`, error)
  // "cannot remove" is what clients look for where a layer has children.
  const text = error instanceof Error ? error.message : String(error)
  const details =
    error instanceof DmThinError && error.code === 'DM_LAYER_HAS_CHILDREN' ? `cannot remove snapshot: ${text}` : text
  return { code: code ?? status.UNKNOWN, details }
}
