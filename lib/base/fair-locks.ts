// Locks by key within one process: shared or exclusive, granted in the order of requests, with an abort by signal.
import { abortError, throwIfAborted } from './errors.js'

export type LockMode = 'shared' | 'exclusive'

interface Waiter {
  readonly mode: LockMode
  readonly admit: () => void
}

/** A single lock. Later shared requests do not overtake a waiting exclusive one. */
class FairLock {
  #shared = 0
  #exclusive = false
  #waiting: Waiter[] = []

  get idle(): boolean {
    return !this.#exclusive && this.#shared === 0 && this.#waiting.length === 0
  }

  /** Takes the lock if no holder conflicts with `mode` and no request waits. */
  tryTake(mode: LockMode): boolean {
    if (this.#waiting.length > 0 || !this.#fits(mode)) return false
    this.#take(mode)
    return true
  }

  wait(mode: LockMode, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const forget = () => signal?.removeEventListener('abort', giveUp)
      const waiter: Waiter = {
        mode,
        admit: () => {
          forget()
          resolve()
        },
      }
      const giveUp = () => {
        this.#waiting = this.#waiting.filter(each => each !== waiter)
        forget()
        reject(abortError(signal, { operation: 'flock' }))
        this.#admit() // later requests may be granted now
      }
      signal?.addEventListener('abort', giveUp, { once: true })
      this.#waiting.push(waiter)
    })
  }

  release(mode: LockMode): void {
    if (mode === 'shared') this.#shared -= 1
    else this.#exclusive = false
    this.#admit()
  }

  #fits(mode: LockMode): boolean {
    return !this.#exclusive && (mode === 'shared' || this.#shared === 0)
  }

  #take(mode: LockMode): void {
    if (mode === 'shared') this.#shared += 1
    else this.#exclusive = true
  }

  #admit(): void {
    for (let next = this.#waiting[0]; next && this.#fits(next.mode); next = this.#waiting[0]) {
      this.#waiting.shift()
      this.#take(next.mode)
      next.admit()
    }
  }
}

export class FairLocks {
  readonly #locks = new Map<string, FairLock>()

  /** Takes the lock if that is possible immediately. Returns the function that releases it. */
  tryTake(key: string, mode: LockMode): (() => void) | undefined {
    return this.#at(key).tryTake(mode) ? this.#releaser(key, mode) : undefined
  }

  /** Waits for the lock. Resolves with the function that releases it. Rejects with `ABORT_ERR`. */
  async take(key: string, mode: LockMode, signal?: AbortSignal): Promise<() => void> {
    throwIfAborted(signal)
    const lock = this.#at(key)
    if (!lock.tryTake(mode)) await lock.wait(mode, signal).finally(() => this.#forget(key, lock))
    return this.#releaser(key, mode)
  }

  #at(key: string): FairLock {
    const lock = this.#locks.get(key) ?? new FairLock()
    this.#locks.set(key, lock)
    return lock
  }

  #releaser(key: string, mode: LockMode): () => void {
    const lock = this.#locks.get(key)!
    let held = true
    return () => {
      if (!held) return
      held = false
      lock.release(mode)
      this.#forget(key, lock)
    }
  }

  #forget(key: string, lock: FairLock): void {
    if (lock.idle && this.#locks.get(key) === lock) this.#locks.delete(key)
  }
}
