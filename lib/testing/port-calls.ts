// How every call of the memory kernel begins and ends: faults on order, refusals, retries.
import { setTimeout as sleep } from 'node:timers/promises'
import { abortError, ERRNO, throwIfAborted } from '../base/errors.js'
import type { MemoryState } from './memory-state.js'
import { Refusal } from './refusal.js'

const RETRY_MS = 10

export class PortCalls {
  protected readonly state: MemoryState

  constructor(state: MemoryState) {
    this.state = state
  }

  /** In a turn of its own, as calls of the native side are; a refusal becomes the error that it would be there. */
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

  /** Tries again on EBUSY, until `limitMs` are over. */
  protected async patiently<T>(limitMs: number, signal: AbortSignal | undefined, attempt: () => T): Promise<T> {
    const deadline = performance.now() + limitMs
    for (let tries = 1; ; tries++) {
      try {
        return attempt()
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
