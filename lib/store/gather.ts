// Calls of one turn of the event loop, done together: one trip to the native side for many costs little more than for one.
interface Waiting<Item, Value> {
  readonly item: Item
  readonly resolve: (value: Value) => void
  readonly reject: (fault: unknown) => void
}

export class Gather<Item, Value> {
  readonly #together: (items: readonly Item[]) => Promise<readonly PromiseSettledResult<Value>[]>
  #waiting: Waiting<Item, Value>[] = []

  /** `together`: a result for each, in the order given; or rejects for all. */
  constructor(together: (items: readonly Item[]) => Promise<readonly PromiseSettledResult<Value>[]>) {
    this.#together = together
  }

  one(item: Item): Promise<Value> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.length === 0) setImmediate(() => void this.#run(this.#waiting.splice(0)))
      this.#waiting.push({ item, resolve, reject })
    })
  }

  async #run(waiting: readonly Waiting<Item, Value>[]): Promise<void> {
    try {
      const results = await this.#together(waiting.map(({ item }) => item))
      waiting.forEach(({ resolve, reject }, at) => {
        const result = results[at]!
        if (result.status === 'fulfilled') resolve(result.value)
        else reject(result.reason)
      })
    } catch (fault) {
      for (const { reject } of waiting) reject(fault)
    }
  }
}
