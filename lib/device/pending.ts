// What close() waits for: the calls of one object that are under way.
import { DmThinError } from '../errors.js'

export class Pending {
  readonly #what: string
  readonly #running = new Set<Promise<unknown>>()
  #closing: Promise<void> | undefined

  constructor(what: string) {
    this.#what = what
  }

  get closed(): boolean {
    return this.#closing !== undefined
  }

  check(): void {
    if (this.closed) throw new DmThinError('DM_CLOSED', `${this.#what} is closed`)
  }

  async run<T>(body: () => Promise<T>): Promise<T> {
    this.check()
    const running = body()
    this.#running.add(running)
    try {
      return await running
    } finally {
      this.#running.delete(running)
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
