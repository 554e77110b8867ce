// The translation of errors to gRPC statuses.
import type { ServiceError } from '@grpc/grpc-js'
import { DmThinError, type ErrorCode } from '../base/errors.js'
import { STATUS, type Status } from './load.js'

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
export type StatusTable = Partial<Record<ErrorCode, Status>>

/** Returns the status for the client. Passes errors that no client caused to `report` too. */
export function statusOf(table: StatusTable, error: unknown, about: string, report: Report) {
  if (error instanceof RequestError) return { code: error.status, details: error.message }
  const code = error instanceof DmThinError ? table[error.code] : undefined
  if (code === undefined) report(about, error)
  const details = error instanceof Error ? error.message : String(error)
  return { code: code ?? STATUS.UNKNOWN, details } satisfies Partial<ServiceError>
}
