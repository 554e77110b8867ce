// Steps that take back what a multi-step call has done, run newest first when a later step fails.
import { DmThinError, type RollbackStep } from '../errors.js'

interface Step {
  readonly operation: string
  readonly device: string
  readonly run: () => Promise<unknown>
}

export class Undo {
  readonly #steps: Step[] = []

  /** `run` may resolve to `false`: there was nothing to take back, and the step is not listed. */
  push(operation: string, device: string, run: () => Promise<unknown>): void {
    this.#steps.push({ operation, device, run })
  }

  /** Runs `body`; if it fails, undoes what was pushed and rethrows with the list of what was undone and what not. */
  async guard<T>(body: () => Promise<T>): Promise<T> {
    try {
      return await body()
    } catch (fault) {
      const done = await this.#unwind()
      const error = fault instanceof DmThinError ? fault : new DmThinError('DM_KERNEL', String(fault), { cause: fault })
      if (done.length === 0) throw error
      throw error.refined(error.code, error.message, { rollback: [...error.rollback, ...done] })
    }
  }

  async #unwind(): Promise<RollbackStep[]> {
    const done: RollbackStep[] = []
    for (const step of this.#steps.splice(0).reverse()) {
      try {
        if ((await step.run()) === false) continue
        done.push({ operation: step.operation, device: step.device, errno: 0 })
      } catch (fault) {
        const errno = fault instanceof DmThinError ? (fault.errno ?? -1) : -1
        done.push({ operation: step.operation, device: step.device, errno })
      }
    }
    return done
  }
}
