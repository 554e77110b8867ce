// Volumes that nobody asks for any more go in the background, many at once. What cannot go yet is tried again.
import { DmThinError } from '../../base/errors.js'
import type { Owner } from '../records/owner.js'
import type { Records } from '../records/records.js'
import type { Row, RowState } from '../records/row.js'
import type { Writer } from '../records/writer.js'
import type { CommitPoints } from './commit-points.js'
import type { Leases } from './leases.js'
import type { Volumes } from './volumes.js'
import { step } from '../common/step-channel.js'

/** Waits of the kernel that may overlap; the native side has threads for them. */
const AT_ONCE = 64
const TIMEOUT_MS = 1_000
const FIRST_PAUSE_MS = 1_000
const LONGEST_PAUSE_MS = 60_000

/** A removed layer whose volume is still there, and why. */
export interface StuckRemoval {
  /** The thin id in the pool. */
  readonly thin: number
  /** Mostly `DM_BUSY`, with `holders`: a mount in some namespace. */
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

  /** How many are under way or wait. */
  get size(): number {
    return this.#known.size
  }

  /** What could not go so far, and why. */
  get stuck(): StuckRemoval[] {
    return [...this.#waiting.values()].map(({ row, error }) => ({ thin: row.thin, error }))
  }

  add(row: Row): void {
    if (this.#stopped || this.#known.has(row.id)) return
    this.#known.add(row.id)
    this.#queue.push(row)
    this.#pump()
  }

  /** One is taken away at once; what cannot go is tried again in the background. `written`: see `Volumes.destroy`. */
  async now(row: Row, written: boolean): Promise<void> {
    if (this.#known.has(row.id)) return
    this.#known.add(row.id)
    await this.#remove(row, written)
  }

  /** What was being made is given up: its record says so, and its volume goes. */
  async abandon(rows: readonly Row[], from: RowState = 'making'): Promise<void> {
    const { records, writer, owner } = this.#parts
    const left = await writer.write(() => rows.map(({ id }) => records.abandon(id, [from], owner.id)))
    for (const row of left) if (row) this.add(row)
  }

  /** Takes up what is recorded as being removed, unless another that lives is at it. */
  async takeOver(): Promise<void> {
    const { records, owner, writer } = this.#parts
    const isOthers = async (id: string) => id !== owner.id && (await owner.isAlive(id))
    const left: Row[] = []
    for (const row of records.unready()) {
      if (row.state === 'removing' && !(await isOthers(row.owner ?? owner.id))) left.push(row)
    }
    if (left.length === 0) return
    const gone = await this.#gone(left)
    // Not before the disk has it: a process may have written it and died. And not what has gone meanwhile, by this store or
    // by another that found the same owner dead: its thin id is nobody's now, or soon another's.
    const taken = await writer.write(() => {
      const rows = left.map(row => records.takeOver(row, owner.id))
      for (const row of rows) if (row && gone.has(row.thin)) records.delete(row)
      return rows
    })
    for (const row of taken) if (row && !gone.has(row.thin)) this.add(row)
  }

  /** Thin ids that dead owners had deleted, all but their record. What this object removes it looks after itself. */
  async #gone(left: readonly Row[]): Promise<Set<number>> {
    const others = left.filter(row => !this.#known.has(row.id))
    if (others.length === 0) return new Set()
    // A pool that cannot say which it has refuses the removals one by one, and each of them says why.
    const ids = await this.#parts.volumes.ids().catch(() => undefined)
    return new Set(others.filter(({ thin }) => ids?.has(thin) === false).map(({ thin }) => thin))
  }

  /** Tries everything that is left once more, at once, and says what still cannot go. */
  async drain(): Promise<StuckRemoval[]> {
    const begunBefore = [...this.#running]
    await this.takeOver()
    // What those found busy may have been let go since.
    await Promise.all(begunBefore)
    for (const waiting of [...this.#waiting.values()]) this.#again(waiting)
    while (this.#running.size > 0) await Promise.all(this.#running)
    return this.stuck
  }

  /** Begins none any more, and waits for those that have begun. What is left another store takes up. */
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

  async #remove(row: Row, written = true): Promise<void> {
    const { volumes, points, records, writer, leases } = this.#parts
    try {
      await leases.refuseUsed(row)
      await volumes.destroy(row, TIMEOUT_MS, written)
      // Not before the pool itself has forgotten it: else a loss of power would bring back a volume without a row.
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
    // Does not keep a process alive that has nothing else to do.
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
