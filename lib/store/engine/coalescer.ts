// Calls of one turn of the event loop, done together: one call of the native side for many costs little more than for
// one. Not all in one, so that what the first of them are for can begin while the last are still on their way.
interface Waiting<Item, Value> {
  readonly item: Item
  readonly resolve: (value: Value) => void
  readonly reject: (fault: unknown) => void
}

const TOGETHER = 16

export class Coalescer<Item, Value> {
  readonly #together: (items: readonly Item[]) => Promise<readonly PromiseSettledResult<Value>[]>
  readonly #inTurn: boolean
  readonly #waiting: Waiting<Item, Value>[] = []
  #begun = false

  /**
   * `together`: a result for each, in the order given; or rejects for all. `inTurn`: for what the kernel takes one after
   * the other anyway, one call at a time.
   */
  constructor(
    together: (items: readonly Item[]) => Promise<readonly PromiseSettledResult<Value>[]>,
    { inTurn }: { readonly inTurn: boolean },
  ) {
    this.#together = together
    this.#inTurn = inTurn
  }

  one(item: Item): Promise<Value> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject })
      if (this.#begun) return
      this.#begun = true
      setImmediate(() => void this.#run())
    })
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const running = this.#call(this.#waiting.splice(0, TOGETHER))
      if (this.#inTurn) await running
    }
    this.#begun = false
  }

  async #call(waiting: readonly Waiting<Item, Value>[]): Promise<void> {
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
