// The errors that a keeper reports to its caller.
import type { DmThinError } from '../../base/errors.js'
import { isolated } from '../../events/device-watch.js'
import type { KeepPlan } from './keep-options.js'

/** Reports an error once for each subject, until that subject succeeds or fails with another error. */
export class Reports {
  readonly #onError: KeepPlan['onError']
  readonly #reported = new Map<string, string>()

  constructor({ onError }: KeepPlan) {
    this.#onError = onError
  }

  report(subject: string, error: DmThinError): void {
    const cause = error.cause instanceof Error ? error.cause.message : ''
    const fault = `${error.code} ${error.operation} ${cause}`
    if (this.#reported.get(subject) === fault) return
    this.#reported.set(subject, fault)
    isolated(() => this.#onError?.(error))
  }

  /** Notes a success: the next error is reported, even if it is the same. */
  forget(subject: string): void {
    this.#reported.delete(subject)
  }
}
