// Locks by key: one call at a time for each layer, in this process. Between processes, the states of the rows do this.
/** The locks of one store object. */
export class KeyLocks {
  readonly #tails = new Map<string, Promise<unknown>>()

  async run<T>(keys: readonly string[], body: () => Promise<T>): Promise<T> {
    const wanted = [...new Set(keys)]
    const before = Promise.all(wanted.map(async key => this.#tails.get(key)))
    const running = before.then(body)
    const tail = running.catch(() => {})
    for (const key of wanted) this.#tails.set(key, tail)
    try {
      return await running
    } finally {
      for (const key of wanted) if (this.#tails.get(key) === tail) this.#tails.delete(key)
    }
  }
}
