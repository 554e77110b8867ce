// The calls in progress on an object, tracked so that close() can wait for them.
import { DmThinError } from './errors.js'

export class Pending {
  readonly #what: string
  readonly #owner: Pending | undefined
  readonly #running = new Set<Promise<unknown>>()
  #closing: Promise<void> | undefined

  /** With an `owner`: the owner's close() waits for these calls too, and a closed owner rejects them. */
  constructor(what: string, owner?: Pending) {
    this.#what = what
    this.#owner = owner
  }

  get closed(): boolean {
    return this.#closing !== undefined
  }

  check(): void {
    this.#owner?.check()
    if (this.closed) throw new DmThinError('DM_CLOSED', `${this.#what} is closed`)
  }

  /** Counts one call of a batch as in progress from `enter` to `leave`. */
  enter(call: Promise<unknown>): void {
    this.#running.add(call)
  }

  leave(call: Promise<unknown>): void {
    this.#running.delete(call)
  }

  async run<T>(body: () => Promise<T>): Promise<T> {
    this.check()
    const running = body()
    this.#running.add(running)
    if (this.#owner) this.#owner.#running.add(running)
    try {
      return await running
    } finally {
      this.#running.delete(running)
      if (this.#owner) this.#owner.#running.delete(running)
    }
  }

  /** Rejects new calls, waits for those in progress, and runs `last` once, even if it is called repeatedly. */
  close(last: () => Promise<void> | void = () => {}): Promise<void> {
    return (this.#closing ??= (async () => {
      await Promise.allSettled(this.#running)
      await last()
    })())
  }
}
