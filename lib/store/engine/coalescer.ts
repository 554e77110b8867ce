// Batches of calls: those of one turn of the event loop share native calls, because a native call for many items costs
// little more than for one. A batch is limited, so that the first calls can continue while the last are in progress.
import { abortError } from '../../base/errors.js'

interface Waiting<Item, Value> {
  readonly item: Item
  readonly signal: AbortSignal | undefined
  readonly resolve: (value: Value) => void
  readonly reject: (fault: unknown) => void
}

const TOGETHER = 16

/** Makes the calls of a batch. The signal is aborted when the signals of all items are. */
type Together<Item, Value> = (
  items: readonly Item[],
  signal: AbortSignal | undefined,
) => Promise<readonly PromiseSettledResult<Value>[]>

/** A queue that combines single calls into batches. */
export class Coalescer<Item, Value> {
  readonly #together: Together<Item, Value>
  readonly #inTurn: boolean
  readonly #waiting: Waiting<Item, Value>[] = []
  #begun = false

  /**
   * `together` returns a result for each item, in the same order, or rejects for all. `inTurn`: batches run one after the
   * other, for calls that the kernel serialises anyway.
   */
  constructor(together: Together<Item, Value>, { inTurn }: { readonly inTurn: boolean }) {
    this.#together = together
    this.#inTurn = inTurn
  }

  /**
   * Makes the call for one item. If `signal` is aborted before the batch begins, rejects with `ABORT_ERR`; after that, the call
   * ends with the batch.
   */
  one(item: Item, signal?: AbortSignal): Promise<Value> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, signal, resolve, reject })
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

  async #call(all: readonly Waiting<Item, Value>[]): Promise<void> {
    const waiting = all.filter(({ signal }) => !signal?.aborted)
    for (const { signal, reject } of all) if (signal?.aborted) reject(abortError(signal))
    if (waiting.length === 0) return
    const { signal, end } = allAborted(waiting.map(each => each.signal))
    try {
      const results = await this.#together(
        waiting.map(({ item }) => item),
        signal,
      )
      waiting.forEach(({ resolve, reject }, at) => {
        const result = results[at]!
        if (result.status === 'fulfilled') resolve(result.value)
        else reject(result.reason)
      })
    } catch (fault) {
      for (const { reject } of waiting) reject(fault)
    } finally {
      end()
    }
  }
}

/** Returns a signal that is aborted when all signals are, or undefined if one is undefined. `end` ends the watching. */
function allAborted(signals: readonly (AbortSignal | undefined)[]): {
  readonly signal: AbortSignal | undefined
  readonly end: () => void
} {
  const watched = signals.filter(signal => signal !== undefined)
  if (watched.length < signals.length) return { signal: undefined, end: () => {} }
  if (watched.length === 1) return { signal: watched[0], end: () => {} }
  const controller = new AbortController()
  const look = () => {
    if (watched.every(({ aborted }) => aborted)) controller.abort(watched[0]!.reason)
  }
  for (const signal of watched) signal.addEventListener('abort', look)
  return {
    signal: controller.signal,
    end: () => {
      for (const signal of watched) signal.removeEventListener('abort', look)
    },
  }
}
