// Batches of calls: those of one turn of the event loop share native calls, because a native call for many items costs
// little more than for one. A batch is limited, so that the first calls can continue while the last are in progress.
interface Waiting<Item, Value> {
  readonly item: Item
  readonly resolve: (value: Value) => void
  readonly reject: (fault: unknown) => void
}

const TOGETHER = 16

/** A queue that combines single calls into batches. */
export class Coalescer<Item, Value> {
  readonly #together: (items: readonly Item[]) => Promise<readonly PromiseSettledResult<Value>[]>
  readonly #inTurn: boolean
  readonly #waiting: Waiting<Item, Value>[] = []
  #begun = false

  /**
   * `together` returns a result for each item, in the same order, or rejects for all. `inTurn`: batches run one after the
   * other, for calls that the kernel serialises anyway.
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
