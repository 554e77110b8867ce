// Whether a call waits for a lock of the library that another one holds.
import { readFileSync } from 'node:fs'
import { untilDuring } from '../process/until.js'

/** Resolves when somebody waits for a lock of a file, by /proc/locks. Rejects if `call` ends before. */
export const lockIsWaitedFor = (call: Promise<unknown>): Promise<void> =>
  untilDuring(call, () => /^\d+: -> /m.test(readFileSync('/proc/locks', 'utf8')), 'it waited for a lock')
