// Steps that roll back what a multi-step call has done, run newest first when a later step fails.
import { DmThinError, ERRNO, type RollbackStep } from './errors.js'

interface Step {
  readonly operation: string
  readonly device: string
  readonly run: () => Promise<unknown>
  readonly always: boolean
}

export class Rollback {
  readonly #steps: Step[] = []

  /**
   * `run` may resolve to `false`: there was nothing to roll back, and the step is not listed. It is not run when the
   * undoing of a later step failed, since what that left may lie on it: a device on its loop device, that on its file.
   * With `always` it is run in any case.
   */
  push(operation: string, device: string, run: () => Promise<unknown>, { always = false } = {}): void {
    this.#steps.push({ operation, device, run, always })
  }

  /**
   * Runs `body`; if it fails, undoes what was pushed and rethrows with the list of what was undone and what not. A fault
   * of the program (a TypeError) is rethrown as it is.
   */
  async guard<T>(body: () => Promise<T>): Promise<T> {
    try {
      return await body()
    } catch (fault) {
      const error = asRefusal(fault)
      const done = await this.#unwind(error?.rollback.some(notUndone) ?? false)
      if (error === undefined) throw fault
      if (done.length === 0) throw error
      throw error.refined(error.code, error.message, { rollback: [...error.rollback, ...done] })
    }
  }

  /** `stopped`: what failed could not roll back its own steps. */
  async #unwind(stopped: boolean): Promise<RollbackStep[]> {
    const done: RollbackStep[] = []
    for (const { operation, device, run, always } of this.#steps.splice(0).reverse()) {
      const errno = (stopped || done.some(notUndone)) && !always ? ERRNO.ECANCELED : await attempt(run)
      if (errno !== undefined) done.push({ operation, device, errno })
    }
    return done
  }
}

/** A refusal of this library or of the system, which has a code; nothing of what else may be thrown. */
function asRefusal(fault: unknown): DmThinError | undefined {
  if (fault instanceof DmThinError) return fault
  const code = typeof fault === 'object' && fault !== null ? (fault as { code?: unknown }).code : undefined
  return typeof code === 'string' ? new DmThinError('DM_KERNEL', String(fault), { cause: fault }) : undefined
}

const notUndone = (step: RollbackStep): boolean => step.errno !== 0

/** Gives 0, or the errno of the failure, or -1 where that has none; undefined where there was nothing to roll back. */
async function attempt(run: () => Promise<unknown>): Promise<number | undefined> {
  try {
    return (await run()) === false ? undefined : 0
  } catch (fault) {
    return fault instanceof DmThinError ? (fault.errno ?? -1) : -1
  }
}
