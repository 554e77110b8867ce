// One call for many volumes: a result for each, whatever becomes of the others.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { DmThinError } from '../../base/errors.js'
import type { BatchOptions, Outcome } from '../../kernel/port/pool-port.js'
import { invalid } from '../../base/options.js'
import type { PoolContext } from '../state/context.js'
import { ThinVolume } from './thin-volume.js'

/** The outcome for one volume of many. */
export type VolumeResult<T = void> =
  | { readonly status: 'fulfilled'; readonly volume: ThinVolume; readonly value: T }
  | { readonly status: 'rejected'; readonly volume: ThinVolume; readonly reason: DmThinError }

/** The volumes of results that all succeeded; throws the first reason otherwise. */
export function volumesOf(results: readonly VolumeResult<unknown>[]): ThinVolume[] {
  return results.map(result => {
    if (result.status === 'rejected') throw result.reason
    return result.volume
  })
}

/** The number of volumes that a call on many volumes has finished. */
export interface Progress {
  readonly done: number
  readonly total: number
}

/** Options of the calls on many volumes. */
export interface ManyOptions {
  /** Called after each volume, on the JavaScript thread. */
  readonly onProgress?: (progress: Progress) => void
  /** Volumes not begun yet reject with `ABORT_ERR`; those under way are given up where the kernel allows it. */
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
  /** What the kernel will be asked; throws where it need not be asked. */
  prepare(volume: ThinVolume): Request
  send(requests: Request[], options: BatchOptions): Promise<Outcome[]>
  /** Takes over what has been done; throws where the kernel refused. */
  settle(volume: ThinVolume, outcome: Outcome, request: Request): Promise<void>
}

/** Volumes per call to the native side: reading the arguments of more would hold the event loop. */
const BATCH = 64
/** How long one turn of the event loop is held, where the machine is slow or the code still cold. */
const TURN_MS = 1

class Turn {
  #started = performance.now()

  get isOver(): boolean {
    return performance.now() - this.#started > TURN_MS
  }

  /** Lets timers and I/O have their turn, where this one is over. */
  async pause(): Promise<void> {
    if (!this.isOver) return
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
  for (let at = 0; at < volumes.length;) {
    if (at > 0) await nextTurn()
    const asked: Asked<Request>[] = []
    const turn = new Turn()
    do {
      const volume = volumes[at]!
      try {
        volume.state.pending.check()
        asked.push({ at, volume, request: steps.prepare(volume) })
      } catch (reason) {
        results[at] = { status: 'rejected', volume, reason: reason as DmThinError }
        progress.one()
      }
      at += 1
    } while (at < volumes.length && asked.length < BATCH && !turn.isOver)
    // One at a time: the others would wait on threads that other calls need.
    await oneBatch(asked, results, options.signal, progress, steps)
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
  const done = async () => {
    const requests = asked.map(each => each.request)
    const onDone = progress.wanted ? () => progress.one() : undefined
    const outcomes = await steps.send(requests, { signal, onDone }).catch(allRefused(requests.length, progress))
    const turn = new Turn()
    for (const [index, { at, volume, request }] of asked.entries()) {
      results[at] = await steps.settle(volume, outcomes[index]!, request).then(
        () => ({ status: 'fulfilled' as const, volume, value: undefined }),
        (reason: DmThinError) => ({ status: 'rejected' as const, volume, reason }),
      )
      await turn.pause()
    }
  }
  const call = done()
  for (const { volume } of asked) volume.state.pending.enter(call)
  try {
    await call
  } finally {
    for (const { volume } of asked) volume.state.pending.leave(call)
  }
}

/** A call that did not even begin was refused for each of its volumes. */
const allRefused = (count: number, progress: ProgressOf) => (fault: unknown) => {
  if (!(fault instanceof DmThinError)) throw fault
  for (let at = 0; at < count; at++) progress.one()
  return new Array<Outcome>(count).fill(fault)
}

/** Counts what is done. What the caller's function throws must not reach the native side: it is kept for the end. */
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
