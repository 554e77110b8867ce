// The waiting calls of the memory kernel. Each change of its state wakes them, and they check their condition again.
import { abortError } from '../base/errors.js'

/** The waiting calls of one memory kernel. */
export class Changes {
  #waiting = new Set<() => void>()

  /** Wakes all waiting calls. */
  announce(): void {
    const woken = this.#waiting
    this.#waiting = new Set()
    for (const wake of woken) wake()
  }

  /** Waits until `look` returns a value. Calls it immediately and after each change. Rejects if `signal` is aborted. */
  async until<T>(look: () => T | undefined, signal?: AbortSignal, operation?: string): Promise<T> {
    for (;;) {
      if (signal?.aborted) throw abortError(signal, { operation })
      const found = look()
      if (found !== undefined) return found
      await this.#change(signal)
    }
  }

  #change(signal?: AbortSignal): Promise<void> {
    return new Promise(resolve => {
      const wake = () => {
        this.#waiting.delete(wake)
        signal?.removeEventListener('abort', wake)
        resolve()
      }
      this.#waiting.add(wake)
      signal?.addEventListener('abort', wake, { once: true })
    })
  }
}
