// The hooks of the fault build: one call made to fail, and what came of it.
import { readdirSync, statSync } from 'node:fs'
import path from 'node:path'
import { DmThinError } from '../../../lib/entry/index.js'
import { loadAddon } from '../../../lib/kernel/load-addon.js'
import { untilDuring } from '../process/until.js'

/**
 * `fail`: the call is not made and answers with the errno. `fail-after`: it is made, and then answers with the errno.
 * `throw`: a C++ exception comes in its place, as of memory that has run out. The two kinds that kill are for child
 * processes. `wait`: it waits until the test releases it: see `stopAt`. `hold`: it waits until another process lets it
 * go on (see test/helpers/overlap/child.cjs).
 */
export type FaultKind = 'fail' | 'fail-after' | 'throw' | 'kill-before' | 'kill-after' | 'wait' | 'hold'

export interface Hooks {
  /** `value`: errno, or the number of a stop. `nth` counts the calls of `operation` from now on, from 1. */
  setFault(operation: string, nth: number, kind: FaultKind, value: number): void
  /** Gives how many had not been reached, and releases what waits. */
  clearFaults(): number
  reachedFault(stop: number): boolean
  releaseFault(stop: number): void
}

export const EIO = 5
export const ENOMEM = 12
export const EINVAL = 22
export const ENOTTY = 25

/** Throws where the build has no hooks: a fault test that cannot fail anything proves nothing. */
export function faultHooks(): Hooks {
  const addon = loadAddon() as Partial<Hooks>
  if (!addon.setFault || !addon.clearFaults) {
    throw new Error(
      'these tests need the build with fault hooks: npm run build:fault, and DM_THIN_PREBUILD naming its folder',
    )
  }
  return addon as Hooks
}

/** Registers the clean-up, so that no test meets the faults of another. */
export function useFaults(): Hooks {
  beforeAll(() => void faultHooks())
  afterEach(() => void faultHooks().clearFaults())
  return {
    setFault: (...fault) => faultHooks().setFault(...fault),
    clearFaults: () => faultHooks().clearFaults(),
    reachedFault: stop => faultHooks().reachedFault(stop),
    releaseFault: stop => faultHooks().releaseFault(stop),
  }
}

/** A step at which a call stops until it is released. An abort of the call ends the wait too, where it can be aborted. */
export interface Stop {
  /** Resolves when `call` is at the step. Rejects if it ends before. */
  reached(call: Promise<unknown>): Promise<void>
  release(): void
}

let stops = 0

/** Makes the nth call of an operation from now on wait. */
export function stopAt(hooks: Hooks, [operation, nth]: Places): Stop {
  const stop = stops++
  hooks.setFault(operation, nth, 'wait', stop)
  return {
    reached: call => untilDuring(call, () => hooks.reachedFault(stop), `${operation} ${nth}`),
    release: () => hooks.releaseFault(stop),
  }
}

/** Names and sizes of the files in a folder. */
export const filesIn = (folder: string): string[] =>
  readdirSync(folder)
    .sort()
    .map(name => `${name} ${statSync(path.join(folder, name)).size}`)

/** An operation, and how many calls of it a good run makes. */
export type Places = readonly [operation: string, calls: number]

/** What one faulted call came to. `fault` is undefined when the library got over it. */
export interface Faulted<T> {
  readonly operation: string
  readonly nth: number
  readonly fault: DmThinError | undefined
  readonly value: T | undefined
  /** `DM_TABLE_LOAD 1`, for messages. */
  readonly where: string
}

/** Arms one fault and runs `attempt`. Throws when the fault was not reached, or when it is no DmThinError. */
export async function attemptWith<T>(
  hooks: Hooks,
  [operation, nth]: Places,
  attempt: () => Promise<T>,
  { kind = 'fail', errno = EIO }: { kind?: FaultKind; errno?: number } = {},
): Promise<Faulted<T>> {
  const where = `${operation} ${nth}`
  hooks.setFault(operation, nth, kind, errno)
  let fault: unknown
  let value: T | undefined
  try {
    value = await attempt()
  } catch (reason) {
    fault = reason
  }
  if (hooks.clearFaults() > 0) throw new Error(`${where} was not reached`, { cause: fault })
  if (fault !== undefined && !(fault instanceof DmThinError)) throw fault as Error
  return { operation, nth, fault, value, where }
}

/**
 * Makes every one of the `places` fail, one at a time. After that `last` must succeed without reaching the call after
 * the last of any: that none is forgotten here when the library gains a step.
 */
export async function failEach<T>(
  hooks: Hooks,
  places: readonly Places[],
  attempt: () => Promise<T>,
  judge: (outcome: Faulted<T>) => Promise<void> | void,
): Promise<void> {
  for (const [operation, calls] of places) {
    for (let nth = 1; nth <= calls; nth++) await judge(await attemptWith(hooks, [operation, nth], attempt))
  }
}

/** Runs `attempt` with the call after the last of each place armed: reaching one means that there are more. */
export async function noneAfter<T>(hooks: Hooks, places: readonly Places[], attempt: () => Promise<T>): Promise<T> {
  for (const [operation, calls] of places) hooks.setFault(operation, calls + 1, 'fail', EIO)
  const value = await attempt()
  expect(hooks.clearFaults()).toBe(places.length)
  return value
}

/** The step is named, the kernel's number kept, and whatever had been done was rolled back. */
export function expectNamed({ operation, where, fault }: Faulted<unknown>, errno = EIO): void {
  expect([where, fault?.operation, fault?.errno]).toEqual([where, operation, errno])
  expect([where, fault?.rollback.filter(step => step.errno !== 0)]).toEqual([where, []])
}

export const undone = (outcome: Faulted<unknown>): string[] => outcome.fault?.rollback.map(step => step.operation) ?? []
