// Rollback steps of a multi-step call, run newest first if a later step fails.
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
   * Adds a rollback step. `run` may resolve to `false`: there was nothing to roll back, and the step is not listed. The
   * step is not run if the rollback of a later step failed, because its remains may use this one: a device uses its
   * loop device, which uses its file. With `always` it is run in any case.
   */
  push(operation: string, device: string, run: () => Promise<unknown>, { always = false } = {}): void {
    this.#steps.push({ operation, device, run, always })
  }

  /**
   * Runs `body`. If it fails, runs the rollback steps and rethrows the error with their results. A programming error (a
   * TypeError) is rethrown unchanged.
   */
  async guard<T>(body: () => Promise<T>): Promise<T> {
    try {
      return await body()
    } catch (fault) {
      const error = asDmThinError(fault)
      const done = await this.#unwind(error?.rollback.some(hasFailed) ?? false)
      if (error === undefined) throw fault
      if (done.length === 0) throw error
      throw error.refined(error.code, error.message, { rollback: [...error.rollback, ...done] })
    }
  }

  /** Runs the rollback steps. `stopped`: the failed call could not roll back its own steps. */
  async #unwind(stopped: boolean): Promise<RollbackStep[]> {
    const done: RollbackStep[] = []
    for (const { operation, device, run, always } of this.#steps.splice(0).reverse()) {
      const errno = (stopped || done.some(hasFailed)) && !always ? ERRNO.ECANCELED : await attempt(run)
      if (errno !== undefined) done.push({ operation, device, errno })
    }
    return done
  }
}

/** Returns an error of this library or of the system, which has a code; undefined for other thrown values. */
function asDmThinError(fault: unknown): DmThinError | undefined {
  if (fault instanceof DmThinError) return fault
  const code = typeof fault === 'object' && fault !== null ? (fault as { code?: unknown }).code : undefined
  return typeof code === 'string' ? new DmThinError('DM_KERNEL', String(fault), { cause: fault }) : undefined
}

const hasFailed = (step: RollbackStep): boolean => step.errno !== 0

/** Returns 0, the errno of the failure, or -1 if it has none; undefined if there was nothing to roll back. */
async function attempt(run: () => Promise<unknown>): Promise<number | undefined> {
  try {
    return (await run()) === false ? undefined : 0
  } catch (fault) {
    return fault instanceof DmThinError ? (fault.errno ?? -1) : -1
  }
}
