// What the service itself refuses; everything else comes as a DmThinError.
import { DmThinError } from 'dm-thin'

export class Refusal extends Error {
  readonly status: number
  readonly code: string

  constructor(status: number, code: string, message: string) {
    super(message)
    this.status = status
    this.code = code
  }
}

const STATUS: Readonly<Record<string, number>> = {
  DM_INVALID_ARGUMENT: 400,
  DM_LAYER_NOT_FOUND: 404,
  DM_BUSY: 409,
  DM_LAYER_EXISTS: 409,
  DM_CLOSED: 503,
  DM_POOL_FAILED: 503,
  DM_POOL_FULL: 503,
  DM_POOL_READ_ONLY: 503,
}

export interface Answer {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
}

/** The answer to a call that failed. */
export function answerTo(fault: unknown): Answer {
  if (fault instanceof Refusal) {
    return { status: fault.status, body: { code: fault.code, message: fault.message } }
  }
  if (fault instanceof DmThinError) {
    const { code, message, holders } = fault
    return { status: STATUS[code] ?? 500, body: { code, message, ...(holders.length > 0 && { holders }) } }
  }
  // What it was is for the log, and not for whoever asked.
  return { status: 500, body: { code: 'SANDBOX_INTERNAL', message: 'the service made a mistake; its log says more' } }
}
