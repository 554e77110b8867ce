// The token with which an interrupted transfer continues. It is made by the receiver, and read by the sender.
import { count, object } from '../base/json-fields.js'
import { invalid } from '../base/options.js'
import { statesIn, type SentStates } from '../pool/state/sent-states.js'
import { invalidTransfer, resumePointIn, type ResumePoint } from './format.js'

const FORMAT = 1

/** The states of the interrupted stream, and the place at which it continues. */
export interface Resumed extends SentStates {
  readonly resume: ResumePoint
}

export const formatToken = ({ target, base, resume }: Resumed): string =>
  Buffer.from(JSON.stringify({ format: FORMAT, target, base, resume })).toString('base64url')

/** Parses a token. Throws `DM_TRANSFER_INVALID`, `DM_INVALID_ARGUMENT` if it is not a string. */
export function parseToken(token: unknown): Resumed {
  if (typeof token !== 'string') throw invalid('resume must be a token of interruptedReceives')
  try {
    const value = object(JSON.parse(Buffer.from(token, 'base64url').toString()))
    if (count(value['format']) !== FORMAT) throw new TypeError('another format')
    return { ...statesIn(value), resume: resumePointIn(object(value['resume'])) }
  } catch (cause) {
    throw invalidTransfer('resume', 'the token cannot be parsed', cause)
  }
}
