import { DmThinError, type ErrorCode } from '../../../lib/entry/index.js'

/** The typed error with which `promise` rejects. Fails when it fulfils, or rejects with anything else. */
export async function expectCode(promise: Promise<unknown>, code: ErrorCode): Promise<DmThinError> {
  const outcome = await promise.then(
    value => ({ value }),
    (fault: unknown) => ({ fault }),
  )
  if (!('fault' in outcome)) throw new Error(`expected ${code}, but the call succeeded with ${String(outcome.value)}`)
  const { fault } = outcome
  if (!(fault instanceof DmThinError)) throw fault
  if (fault.code !== code)
    throw new Error(`expected ${code}, but it is ${fault.code}: ${fault.message}`, { cause: fault })
  return fault
}
