// The keeper of a pool: of all processes, one grows the pool before it is full.
import { setTimeout as sleep } from 'node:timers/promises'
import { hasCode, throwIfAborted } from '../../base/errors.js'
import { asError, eventHub, isolated } from '../../events/device-watch.js'
import { deviceNumber } from '../../base/device-number.js'
import type { Handle } from '../../kernel/port/handle.js'
import { tryKeeperLock, trySuccessorLock } from '../lifecycle/keeper-mark.js'
import { isUp, type PoolContext } from '../state/context.js'
import { checkHooks } from './backing-room.js'
import { beginKeeping, endKeeping } from './begin.js'
import { Grower } from './grower.js'
import type { KeepPlan } from './keep-options.js'
import { Reports } from './reports.js'
import { Spares } from '../spares/spares.js'

/** How often a keeper that waits tries to take over, and how soon a look that failed is repeated. */
const STANDBY_MS = 1_000

/** Least time between a look that failed and the next one: a failure may raise events, which wake the keeper. */
const FAILED_MS = 100

/**
 * The object that `ThinPool.keep` returns. It grows a pool before it is full. Of all keepers of a pool, in any process,
 * one is active. The others wait, and one of them takes over when it ends. A keeper keeps the process alive.
 */
export class Keeper implements AsyncDisposable {
  readonly #context: PoolContext
  readonly #plan: KeepPlan
  readonly #reports: Reports
  readonly #ending = new AbortController()
  #ended: Promise<void> = Promise.resolve()
  #lock: Handle | undefined
  #successorLock: Handle | undefined
  #grower: Grower | undefined
  #spares: Spares | undefined
  #unwatch: (() => void) | undefined
  #endPause = () => {}
  #isWoken = false

  private constructor(context: PoolContext, plan: KeepPlan) {
    this.#context = context
    this.#plan = plan
    this.#reports = new Reports(plan)
  }

  /** @internal */
  static async start(context: PoolContext, plan: KeepPlan, signal?: AbortSignal): Promise<Keeper> {
    throwIfAborted(signal)
    const keeper = new Keeper(context, plan)
    const onAbort = () => keeper.#end()
    const forget = () => signal?.removeEventListener('abort', onAbort)
    signal?.addEventListener('abort', onAbort, { once: true })
    try {
      await checkHooks(context, plan, signal)
      await keeper.#takeOver()
    } catch (fault) {
      forget()
      await keeper.#releaseLocks()
      throw fault
    }
    keeper.#ended = keeper.#run().finally(forget)
    return keeper
  }

  /** True if this keeper is the one that grows the pool. False while it waits for another, and after its end. */
  get active(): boolean {
    return this.#lock !== undefined
  }

  /**
   * A promise that resolves when the keeper has ended: by `stop()`, by its signal, or because the pool was removed. It
   * does not reject: errors are reported to `onError`.
   */
  get ended(): Promise<void> {
    return this.#ended
  }

  /**
   * Ends the keeper. If no other keeper waits to take over, restores the options that the pool has without one: writes
   * to a full pool fail immediately. A growth in progress is completed, or ended between two steps. A hook is not waited
   * for. Does not reject: errors are reported to `onError`. Idempotent.
   */
  async stop(): Promise<void> {
    this.#end()
    await this.#ended
  }

  /** Calls `stop()`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  #end(): void {
    this.#ending.abort()
    this.#endPause()
  }

  readonly #wake = (): void => {
    this.#isWoken = true
    this.#endPause()
  }

  async #run(): Promise<void> {
    const { signal } = this.#ending
    while (!signal.aborted) {
      let pauseMs = STANDBY_MS
      try {
        if (!this.active) await this.#takeOver()
        if (this.active) await this.#listen()
        pauseMs = (await this.#grower?.look()) ?? STANDBY_MS
        this.#reports.forget('pool')
      } catch (fault) {
        if (!signal.aborted && !(await isUp(this.#context).catch(() => true))) this.#end()
        else if (!signal.aborted) this.#report(fault)
        await sleep(FAILED_MS, undefined, { signal }).catch(() => {})
      }
      await this.#pause(pauseMs)
    }
    await this.#leave().catch((fault: unknown) => this.#report(fault))
  }

  #report(fault: unknown): void {
    this.#reports.report('pool', asError(fault))
  }

  /** Waits until the keeper is woken or ended, or for so many milliseconds. */
  #pause(milliseconds: number): Promise<void> {
    return new Promise(resolve => {
      const done = () => {
        clearTimeout(timer)
        this.#endPause = () => {}
        this.#isWoken = false
        resolve()
      }
      const timer = setTimeout(done, milliseconds)
      this.#endPause = done
      if (this.#isWoken || this.#ending.signal.aborted) done()
    })
  }

  /** Becomes the active keeper if there is none. Otherwise becomes its successor, if there is none. */
  async #takeOver(): Promise<void> {
    const { signal } = this.#ending
    const lock = await tryKeeperLock(this.#context)
    if (lock === undefined) {
      this.#successorLock ??= await trySuccessorLock(this.#context)
      return
    }
    const spares = new Spares(this.#context, signal)
    try {
      await spares.begin()
      const rules = await beginKeeping(this.#context, this.#plan, signal)
      this.#grower = new Grower(this.#context, this.#plan, rules, this.#reports, spares, this.#wake, signal)
    } catch (fault) {
      spares.leave()
      await this.#context.port.release(lock)
      throw fault
    }
    this.#lock = lock
    this.#spares = spares
    await this.#releaseSuccessorLock()
    await this.#listen()
    isolated(() => this.#plan.onActive?.())
  }

  /** Lets every event of the pool's device wake the keeper: at the low-water mark, and when the pool's mode changes. */
  async #listen(): Promise<void> {
    if (this.#unwatch !== undefined) return
    const hub = eventHub(this.#context.port)
    const device = deviceNumber(this.#context.device)
    const onFault = (fault: unknown) => {
      this.#unwatch = undefined // the next look listens again
      this.#report(fault)
    }
    const onChanges = (changes: readonly { readonly device: string }[]) => {
      if (changes.some(change => change.device === device)) this.#wake()
    }
    const listener = { onChanges, onFault }
    this.#unwatch = () => hub.leave(listener)
    await hub.join(listener).catch(onFault)
  }

  async #leave(): Promise<void> {
    this.#unwatch?.()
    try {
      if (!this.active) return
      // A successor finds the pool as it is: with the options of a stopped keeper, waiting writers would get errors.
      this.#successorLock = await trySuccessorLock(this.#context)
      if (this.#successorLock === undefined) return
      await endKeeping(this.#context, this.#spares)
    } catch (fault) {
      if (!hasCode(fault, 'DM_NOT_FOUND')) throw fault // the pool was removed
    } finally {
      this.#spares?.leave()
      await this.#releaseLocks()
    }
  }

  async #releaseLocks(): Promise<void> {
    const lock = this.#lock
    this.#lock = undefined
    if (lock !== undefined) await this.#context.port.release(lock)
    await this.#releaseSuccessorLock()
  }

  async #releaseSuccessorLock(): Promise<void> {
    const lock = this.#successorLock
    this.#successorLock = undefined
    if (lock !== undefined) await this.#context.port.release(lock)
  }
}
