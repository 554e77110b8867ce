// Calls on many volumes. Each volume gets its own result; a failure does not stop the others.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { DmThinError } from '../../base/errors.js'
import type { BatchOptions, Outcome } from '../../kernel/port/pool-port.js'
import { invalid } from '../../base/options.js'
import type { PoolContext } from '../state/context.js'
import { ThinVolume } from './thin-volume.js'

/** The outcome for one volume of many. */
export type VolumeResult<T = void> =
  | {
      /** `fulfilled`: the call succeeded for the volume. */
      readonly status: 'fulfilled'
      /** The volume for which the call succeeded. */
      readonly volume: ThinVolume
      /** The result for the volume; undefined for calls without a result. */
      readonly value: T
    }
  | {
      /** `rejected`: the call failed for the volume. */
      readonly status: 'rejected'
      /** The volume for which the call failed. */
      readonly volume: ThinVolume
      /** The error with which the call for this volume alone would reject. */
      readonly reason: DmThinError
    }

/** Returns the volumes of results that all succeeded. Throws the first reason if a result failed. */
export function volumesOf(results: readonly VolumeResult<unknown>[]): ThinVolume[] {
  return results.map(result => {
    if (result.status === 'rejected') throw result.reason
    return result.volume
  })
}

/** The number of volumes that a call on many volumes has finished. */
export interface Progress {
  /** The number of volumes that are finished, successfully or not. */
  readonly done: number
  /** The number of volumes of the call. */
  readonly total: number
}

/** Options of calls on many volumes. */
export interface ManyOptions {
  /** Called after each volume, on the JavaScript thread. */
  readonly onProgress?: (progress: Progress) => void
  /**
   * Aborts the call. Volumes that were not started reject with `ABORT_ERR`; those in progress are aborted if the kernel
   * allows it.
   */
  readonly signal?: AbortSignal
}

export function checkVolumes(pool: PoolContext, volumes: readonly ThinVolume[]): void {
  if (!Array.isArray(volumes)) throw invalid('the volumes must be given as an array')
  for (const volume of volumes) {
    if (!(volume instanceof ThinVolume) || !volume.belongsTo(pool)) {
      throw invalid(`each of the volumes must be a volume of pool ${pool.name}`)
    }
  }
}

export interface Steps<Request> {
  /** Returns the request to the kernel. Throws if the kernel need not be called. */
  prepare(volume: ThinVolume): Request
  send(requests: Request[], options: BatchOptions): Promise<Outcome[]>
  /** Applies the outcome to the volume. Throws if the kernel rejected the request. */
  settle(volume: ThinVolume, outcome: Outcome, request: Request): Promise<void>
}

/**
 * Volumes per native call, which is sent when all its requests are prepared: with fewer, fewer would be in the kernel at the
 * same time. Converting the arguments of more would block the event loop.
 */
const BATCH = 64
/** The longest turn of the event loop in milliseconds, on a slow machine or with code that is not yet compiled. */
const TURN_MS = 1
/** The volumes between two looks at the clock: in some virtual machines it is a system call. */
const VOLUMES_PER_LOOK = 4

class Turn {
  #started = performance.now()
  #volumes = 0

  /** Counts a volume, and returns true if this turn has used up its time. */
  isOver(): boolean {
    this.#volumes += 1
    return this.#volumes % VOLUMES_PER_LOOK === 0 && performance.now() - this.#started > TURN_MS
  }

  /** Yields to timers and I/O. */
  async next(): Promise<void> {
    await nextTurn()
    this.#started = performance.now()
  }
}

interface Asked<Request> {
  readonly at: number
  readonly volume: ThinVolume
  readonly request: Request
}

export async function inBatches<Request>(
  pool: PoolContext,
  volumes: readonly ThinVolume[],
  options: ManyOptions,
  steps: Steps<Request>,
): Promise<VolumeResult[]> {
  checkVolumes(pool, volumes)
  const progress = new ProgressOf(volumes.length, options.onProgress)
  const results = new Array<VolumeResult>(volumes.length)
  /** Runs `body` if the volume is open. Otherwise, or if `body` throws, rejects the volume. */
  const attempt = (at: number, volume: ThinVolume, body: () => void): void => {
    try {
      volume.state.pending.check()
      body()
    } catch (reason) {
      results[at] = { status: 'rejected', volume, reason: reason as DmThinError }
      progress.one()
    }
  }
  for (let at = 0; at < volumes.length;) {
    if (at > 0) await nextTurn()
    const asked: Asked<Request>[] = []
    let end = () => {}
    const ended = new Promise<void>(resolve => (end = resolve))
    try {
      const turn = new Turn()
      for (; at < volumes.length && asked.length < BATCH; at += 1) {
        const volume = volumes[at]!
        attempt(at, volume, () => {
          asked.push({ at, volume, request: steps.prepare(volume) })
          volume.state.pending.enter(ended) // close() waits from here on, also while others are prepared
        })
        if (turn.isOver()) await turn.next() // a few volumes are sent in the turn of the call
      }
      // One batch at a time: others would wait on threads that other calls need.
      await oneBatch(asked, results, options.signal, progress, steps)
    } finally {
      for (const { volume } of asked) volume.state.pending.leave(ended)
      end()
    }
  }
  progress.throwIfFailed()
  return results
}

async function oneBatch<Request>(
  asked: readonly Asked<Request>[],
  results: VolumeResult[],
  signal: AbortSignal | undefined,
  progress: ProgressOf,
  steps: Steps<Request>,
): Promise<void> {
  const requests = asked.map(each => each.request)
  const onDone = progress.wanted ? () => progress.one() : undefined
  const outcomes = await steps.send(requests, { signal, onDone }).catch(allRefused(requests.length, progress))
  const turn = new Turn()
  for (const [index, { at, volume, request }] of asked.entries()) {
    results[at] = await steps.settle(volume, outcomes[index]!, request).then(
      () => ({ status: 'fulfilled' as const, volume, value: undefined }),
      (reason: DmThinError) => ({ status: 'rejected' as const, volume, reason }),
    )
    if (turn.isOver()) await turn.next()
  }
}

/** Returns the same error as the outcome of each volume, for a call that failed before its first volume. */
const allRefused = (count: number, progress: ProgressOf) => (fault: unknown) => {
  if (!(fault instanceof DmThinError)) throw fault
  for (let at = 0; at < count; at++) progress.one()
  return new Array<Outcome>(count).fill(fault)
}

/**
 * Counter of finished volumes. An exception of the caller's function must not reach native code: it is kept and thrown
 * at the end.
 */
class ProgressOf {
  readonly #total: number
  readonly #tell: ManyOptions['onProgress']
  #done = 0
  #thrown: { readonly reason: unknown } | undefined

  constructor(total: number, tell: ManyOptions['onProgress']) {
    this.#total = total
    this.#tell = tell
  }

  get wanted(): boolean {
    return this.#tell !== undefined
  }

  one(): void {
    this.#done += 1
    try {
      this.#tell?.({ done: this.#done, total: this.#total })
    } catch (reason) {
      this.#thrown ??= { reason }
    }
  }

  throwIfFailed(): void {
    if (this.#thrown) throw this.#thrown.reason
  }
}
