// The common parts of all calls of the memory kernel: injected faults, translation of errors, retries.
import { setTimeout as sleep } from 'node:timers/promises'
import { abortError, ERRNO, throwIfAborted } from '../base/errors.js'
import type { MemoryState } from './memory-state.js'
import { Refusal } from './refusal.js'

const RETRY_MS = 10

/** The base class of the ports. */
export class PortCalls {
  protected readonly state: MemoryState

  constructor(state: MemoryState) {
    this.state = state
  }

  /** Runs a call asynchronously, as the native side does, and translates a refusal to the error of the native side. */
  protected async call<T>(signal: AbortSignal | undefined, body: () => T | Promise<T>): Promise<T> {
    throwIfAborted(signal)
    await Promise.resolve()
    try {
      return await body()
    } catch (fault) {
      throw fault instanceof Refusal ? fault.toError(signal) : fault
    }
  }

  protected step(operation: Parameters<MemoryState['faults']['pass']>[0], device = ''): void {
    this.state.faults.pass(operation, { device })
  }

  /** Runs `attempt`, and retries on EBUSY until `limitMs` have passed. */
  protected async retryWhileBusy<T>(
    limitMs: number,
    signal: AbortSignal | undefined,
    attempt: () => T | Promise<T>,
  ): Promise<T> {
    const deadline = performance.now() + limitMs
    for (let tries = 1; ; tries++) {
      try {
        return await attempt()
      } catch (fault) {
        if (!(fault instanceof Refusal)) throw fault
        const left = deadline - performance.now()
        if (fault.failure.errno !== ERRNO.EBUSY || left <= 0) throw fault.with({ tries })
        await sleep(Math.min(RETRY_MS, left), undefined, signal && { signal }).catch(() => {
          throw abortError(signal, { operation: fault.failure.operation, device: fault.failure.device, tries })
        })
      }
    }
  }
}
