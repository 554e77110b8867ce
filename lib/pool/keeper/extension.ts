// Calls of the user's hook that grows a block device. They run outside every lock, and the keeper does not wait for
// them: it makes the writers of a full pool wait on, and grows the other device, while a hook runs.
import type { ExtendRequest, GrowthOptions } from './keep-options.js'

/** The end of a call: the hook returned, threw, or did not end in time. The size of the device shows what it did. */
export interface ExtensionEnd {
  readonly wantedBytes: number
  /** The error of the hook, or of the time limit. */
  readonly cause: unknown
}

/** The hook of one device. One call runs at a time, even if it never ends. */
export class Extension {
  readonly #limitMs: number
  readonly #stop: AbortSignal
  readonly #onEnd: () => void
  #isRunning = false
  #end: ExtensionEnd | undefined

  /** `stop` aborts the signal of a running call. `onEnd` is called when a call ends or its time is over. */
  constructor(limitMs: number, stop: AbortSignal, onEnd: () => void) {
    this.#limitMs = limitMs
    this.#stop = stop
    this.#onEnd = onEnd
  }

  /** Returns the end of the last call, once. */
  takeEnd(): ExtensionEnd | undefined {
    const end = this.#end
    this.#end = undefined
    return end
  }

  /** Calls the hook, unless a call is running, or has ended and its end was not taken. */
  start(hook: NonNullable<GrowthOptions['extend']>, request: Omit<ExtendRequest, 'signal'>): void {
    if (this.#isRunning || this.#end !== undefined || this.#stop.aborted) return
    this.#isRunning = true
    const { wantedBytes } = request
    const limit = new AbortController()
    let isOver = false
    const over = (cause: unknown) => {
      if (!isOver) this.#end = { wantedBytes, cause }
      isOver = true
      this.#onEnd()
    }
    const abort = () => limit.abort()
    const timer = setTimeout(() => {
      over(new Error(`extend did not end within ${this.#limitMs} ms`))
      abort()
    }, this.#limitMs)
    this.#stop.addEventListener('abort', abort, { once: true })
    void (async () => {
      let cause: unknown
      try {
        await hook({ ...request, signal: limit.signal })
      } catch (thrown) {
        cause = thrown
      }
      clearTimeout(timer)
      this.#stop.removeEventListener('abort', abort)
      this.#isRunning = false
      over(cause)
    })()
  }
}
