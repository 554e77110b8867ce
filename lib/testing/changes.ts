// Waiting, in memory: whoever waits is woken at every change of the kernel's state, and looks again.
import { abortError } from '../base/errors.js'

export class Changes {
  #waiting = new Set<() => void>()

  announce(): void {
    const woken = this.#waiting
    this.#waiting = new Set()
    for (const wake of woken) wake()
  }

  /** Until `look` gives something; looked at once now, and after each change. Rejects when `signal` is aborted. */
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
