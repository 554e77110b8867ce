// What close() waits for: the calls of one object that are under way.
import { DmThinError } from './errors.js'

export class Pending {
  readonly #what: string
  readonly #owner: Pending | undefined
  readonly #running = new Set<Promise<unknown>>()
  #closing: Promise<void> | undefined

  /** With an `owner`, its close() waits for these calls too, and it being closed refuses them. */
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

  /** For a call that is one of many in a batch: counts as under way from `enter` to `leave`. */
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

  /** Lets nothing new in, waits for what runs, then runs `last` once, however often it is called. */
  close(last: () => Promise<void> | void = () => {}): Promise<void> {
    return (this.#closing ??= (async () => {
      await Promise.allSettled(this.#running)
      await last()
    })())
  }
}
