// Deletion of the volumes of removed layers, in the background and concurrently. Volumes that are busy are retried.
import { DmThinError } from '../../base/errors.js'
import type { Owner } from '../records/owner.js'
import type { Records } from '../records/records.js'
import type { Row, RowState } from '../records/row.js'
import type { Writer } from '../records/writer.js'
import type { CommitPoints } from './commit-points.js'
import type { Leases } from './leases.js'
import type { Volumes } from './volumes.js'
import { step } from '../common/step-channel.js'

/** The number of concurrent removals. The kernel waits in each; the native side has threads for them. */
const AT_ONCE = 64
const TIMEOUT_MS = 1_000
const FIRST_PAUSE_MS = 1_000
const LONGEST_PAUSE_MS = 60_000

/** A removed layer whose volume still exists, and the reason. */
export interface StuckRemoval {
  /** The thin id in the pool. */
  readonly thin: number
  /** The reason: usually `DM_BUSY`, with `holders`, because of a mount in some namespace. */
  readonly error: DmThinError
}

interface Waiting {
  readonly row: Row
  readonly error: DmThinError
  readonly timer: NodeJS.Timeout
}

interface RemovalParts {
  readonly records: Records
  readonly writer: Writer
  readonly owner: Owner
  readonly points: CommitPoints
  readonly volumes: Volumes
  readonly leases: Leases
}

/** The removals of a store object. */
export class RemovalQueue {
  readonly #parts: RemovalParts
  readonly #queue: Row[] = []
  readonly #known = new Set<number>()
  readonly #waiting = new Map<number, Waiting>()
  readonly #pauses = new Map<number, number>()
  readonly #running = new Set<Promise<void>>()
  #stopped = false

  constructor(parts: RemovalParts) {
    this.#parts = parts
  }

  /** The number of removals that are in progress or waiting. */
  get size(): number {
    return this.#known.size
  }

  /** The volumes that could not be deleted so far, and the reasons. */
  get stuck(): StuckRemoval[] {
    return [...this.#waiting.values()].map(({ row, error }) => ({ thin: row.thin, error }))
  }

  /** Removes a volume in the background. */
  add(row: Row): void {
    if (this.#stopped || this.#known.has(row.id)) return
    this.#known.add(row.id)
    this.#queue.push(row)
    this.#pump()
  }

  /** Removes one volume and waits for it. If it is busy, it is retried in the background. `written`: see `Volumes.destroy`. */
  async now(row: Row, written: boolean): Promise<void> {
    if (this.#known.has(row.id)) return
    this.#known.add(row.id)
    await this.#remove(row, written)
  }

  /** Abandons unfinished layers: records this, and removes their volumes in the background. */
  async abandon(rows: readonly Row[], from: RowState = 'making'): Promise<void> {
    const { records, writer, owner } = this.#parts
    const left = await writer.write(() => rows.map(({ id }) => records.abandon(id, [from], owner.id)))
    for (const row of left) if (row) this.add(row)
  }

  /** Takes over recorded removals, except those of other living owners. */
  async takeOver(): Promise<void> {
    const { records, owner, writer } = this.#parts
    const isOthers = async (id: string) => id !== owner.id && (await owner.isAlive(id))
    const left: Row[] = []
    for (const row of records.unready()) {
      if (row.state === 'removing' && !(await isOthers(row.owner ?? owner.id))) left.push(row)
    }
    if (left.length === 0) return
    const gone = await this.#gone(left)
    // The takeover is recorded before anything is deleted, because the record of the removal may not be on the disk if its
    // process died. Rows that were deleted concurrently, by this store or by another that found the same owner dead, are
    // skipped: their thin ids are free, or used by other layers.
    const taken = await writer.write(() => {
      const rows = left.map(row => records.takeOver(row, owner.id))
      for (const row of rows) if (row && gone.has(row.thin)) records.delete(row)
      return rows
    })
    for (const row of taken) if (row && !gone.has(row.thin)) this.add(row)
  }

  /** Returns the thin ids that dead owners had deleted without deleting the record. Ignores removals of this object. */
  async #gone(left: readonly Row[]): Promise<Set<number>> {
    const others = left.filter(row => !this.#known.has(row.id))
    if (others.length === 0) return new Set()
    // If the volumes cannot be listed, each removal fails with its own error.
    const ids = await this.#parts.volumes.ids().catch(() => undefined)
    return new Set(others.filter(({ thin }) => ids?.has(thin) === false).map(({ thin }) => thin))
  }

  /** Retries all removals immediately. Returns those that still cannot be completed. */
  async drain(): Promise<StuckRemoval[]> {
    const begunBefore = [...this.#running]
    await this.takeOver()
    // These may have found a volume busy that has been released since.
    await Promise.all(begunBefore)
    for (const waiting of [...this.#waiting.values()]) this.#again(waiting)
    while (this.#running.size > 0) await Promise.all(this.#running)
    return this.stuck
  }

  /** Starts no further removals, and waits for those in progress. Another store object takes over the rest. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#queue.length = 0
    for (const { timer } of this.#waiting.values()) clearTimeout(timer)
    await Promise.all(this.#running)
  }

  #pump(): void {
    while (this.#running.size < AT_ONCE) {
      const row = this.#queue.shift()
      if (!row) return
      const running = this.#remove(row).finally(() => {
        this.#running.delete(running)
        this.#pump()
      })
      this.#running.add(running)
    }
  }

  async #remove(row: Row, written = row.sizeBytes > 0): Promise<void> {
    const { volumes, points, records, writer, leases } = this.#parts
    try {
      await leases.refuseUsed(row)
      await volumes.destroy(row, TIMEOUT_MS, written)
      // The row is deleted after the commit of the pool. Otherwise the volume could exist without a row after a loss of power.
      step('remove.point', String(row.thin))
      const transaction = await points.point()
      step('remove.record', String(row.thin))
      await writer.write(() => {
        records.noteTransaction(transaction)
        records.delete(row)
      })
      this.#known.delete(row.id)
      this.#pauses.delete(row.id)
    } catch (fault) {
      const error = fault instanceof DmThinError ? fault : new DmThinError('DM_KERNEL', String(fault), { cause: fault })
      this.#later(row, error)
    }
  }

  #later(row: Row, error: DmThinError): void {
    const pause = Math.min(2 * (this.#pauses.get(row.id) ?? FIRST_PAUSE_MS / 2), LONGEST_PAUSE_MS)
    this.#pauses.set(row.id, pause)
    // The timer does not keep the process alive.
    const timer = setTimeout(() => this.#again(waiting), pause).unref()
    const waiting = { row, error, timer }
    this.#waiting.set(row.id, waiting)
  }

  #again({ row, timer }: Waiting): void {
    clearTimeout(timer)
    this.#waiting.delete(row.id)
    if (this.#stopped) return
    this.#queue.push(row)
    this.#pump()
  }
}
