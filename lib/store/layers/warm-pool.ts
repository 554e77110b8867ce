// Warm layers: snapshots of a parent that are active and committed to disk before `prepare` asks for them. They are created
// in the background, and get their key from `prepare`.
import { hasCode } from '../../base/errors.js'
import type { StoreParts } from '../engine/parts.js'
import type { Prepared } from './prepare.js'
import { refuseTaken } from '../records/layer-lookup.js'
import { step } from '../common/step-channel.js'
import type { Labels } from '../common/layer-types.js'

/** The number of warm layers of one parent that are created concurrently. */
const AT_ONCE = 16

interface Kept {
  readonly parent: string
  wanted: number
  readonly ready: Prepared[]
  making: number
  /** Layers that were removed from `ready` until their key is recorded; they may return to it. */
  taking: number
  /** Calls that wait until `wanted` layers are ready. */
  readonly waiting: { readonly resolve: () => void; readonly reject: (fault: unknown) => void }[]
}

type WarmParts = Pick<StoreParts, 'records' | 'writer' | 'removals' | 'clock'>

/** The warm layers of a store object. */
export class WarmPool {
  readonly #parts: WarmParts
  readonly #prepare: (parent: string) => Promise<Prepared>
  readonly #sets = new Map<string, Kept>()
  readonly #running = new Set<Promise<void>>()
  #closed = false

  /** `prepare` creates a layer without a key. */
  constructor(parts: WarmParts, prepare: (parent: string) => Promise<Prepared>) {
    this.#parts = parts
    this.#prepare = prepare
  }

  /** Sets the number of warm layers. Resolves when `count` are ready. Rejects if one cannot be created. */
  async keep(parent: string, count: number): Promise<void> {
    let kept = this.#sets.get(parent)
    if (!kept) this.#sets.set(parent, (kept = { parent, wanted: 0, ready: [], making: 0, taking: 0, waiting: [] }))
    kept.wanted = count
    if (count === 0) this.#sets.delete(parent)
    await this.#give(kept.ready.splice(count))
    if (kept.ready.length >= count) return
    const full = new Promise<void>((resolve, reject) => kept.waiting.push({ resolve, reject }))
    this.#fill(kept)
    await full
  }

  sizes(): Record<string, number> {
    return Object.fromEntries([...this.#sets].map(([parent, { ready }]) => [parent, ready.length]))
  }

  /** Takes a warm layer and records its key. Returns undefined if none is ready. */
  async take(key: string, parent: string, labels: Labels): Promise<Prepared | undefined> {
    const kept = this.#sets.get(parent)
    const first = kept?.ready.shift()
    if (!kept || !first) return undefined
    const { records, writer, clock } = this.#parts
    step('warm.take', key)
    kept.taking += 1
    try {
      const row = await writer.write(() => {
        refuseTaken(records, key)
        // Another layer may have the key of the parent by now.
        if (records.idOf(parent) !== first.row.parentId) return undefined
        const at = clock()
        const change = { key, state: 'ready', owner: null, labels, createdAt: at, updatedAt: at } as const
        return records.update(first.row, ['making'], change)
      })
      if (row) return { ...first, row }
    } catch (fault) {
      const isWanted = hasCode(fault, 'DM_LAYER_EXISTS') && kept.ready.length < kept.wanted
      if (isWanted) kept.ready.unshift(first)
      else await this.#give([first]).catch(() => {}) // the first error is the one that is reported
      throw fault
    } finally {
      kept.taking -= 1
      setImmediate(() => this.#fill(kept)) // the caller does not wait for the start of the next creation
    }
    await this.#give([first])
    return undefined
  }

  /** Removes the warm layers of a parent that is removed. */
  async drop(parent: string): Promise<void> {
    if (this.#sets.has(parent)) await this.keep(parent, 0)
  }

  async close(): Promise<void> {
    this.#closed = true
    const sets = [...this.#sets.values()]
    this.#sets.clear()
    for (const kept of sets) kept.wanted = 0
    await Promise.all(this.#running)
    await this.#give(sets.flatMap(kept => kept.ready.splice(0)))
  }

  #fill(kept: Kept): void {
    const coming = () => kept.ready.length + kept.making + kept.taking
    while (!this.#closed && kept.making < AT_ONCE && coming() < kept.wanted) {
      kept.making += 1
      const running = this.#one(kept).finally(() => this.#running.delete(running))
      this.#running.add(running)
    }
    if (kept.ready.length >= kept.wanted) for (const { resolve } of kept.waiting.splice(0)) resolve()
  }

  async #one(kept: Kept): Promise<void> {
    try {
      const made = await this.#prepare(kept.parent)
      kept.making -= 1
      if (kept.ready.length < kept.wanted) kept.ready.push(made)
      else await this.#give([made])
      this.#fill(kept)
    } catch (fault) {
      kept.making -= 1
      // The next attempt is made by the next `take` or `keep`, because a full pool usually stays full for a while.
      for (const { reject } of kept.waiting.splice(0)) reject(fault)
    }
  }

  async #give(made: readonly Prepared[]): Promise<void> {
    if (made.length > 0) await this.#parts.removals.abandon(made.map(({ row }) => row))
  }
}
