// Changes of the records, many in one transaction: each costs a wait for the disk, so those that come in one turn of the
// event loop, or while the disk is waited for, share it. Nothing waits inside a transaction, and a commit does not wait for
// the disk: that is done by a thread, before anybody is told. A lock of another process is waited for by timer.
import { setTimeout as sleep } from 'node:timers/promises'
import { DmThinError } from '../../base/errors.js'
import { LogFile } from './log-file.js'
import { databaseError, isLocked, type Database } from './sqlite.js'

/** How long another process may hold the database. Its own transactions take milliseconds. */
const LIMIT_MS = 30_000
/** In one transaction: more would hold the event loop for too long. */
const MOST = 128
const FIRST_PAUSE_MS = 1
const LONGEST_PAUSE_MS = 50

export interface WriteOptions {
  /**
   * Wait until the disk has it. False for what is of no use after a restart of the machine: it is seen by other processes
   * at once. Default true.
   */
  readonly durable?: boolean
}

interface Change {
  readonly run: () => unknown
  readonly durable: boolean
  readonly resolve: (value: never) => void
  readonly reject: (fault: unknown) => void
}

type Result = { readonly value: unknown } | { readonly fault: unknown }

export class Writer {
  readonly #database: Database
  readonly #queue: Change[] = []
  #flushing: Promise<void> | undefined
  /** What a disk did not take once, nobody knows of any more: nothing is acknowledged after it. */
  #lost: DmThinError | undefined
  readonly #log: LogFile

  constructor(database: Database) {
    this.#database = database
    this.#log = new LogFile(database)
  }

  /** Runs `change` in a transaction and resolves when it is on the disk. One that throws leaves nothing of itself. */
  write<T>(change: () => T, { durable = true }: WriteOptions = {}): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#queue.push({ run: change, durable, resolve, reject })
      this.#flushing ??= this.#flush()
    })
  }

  /** When everything that was asked for is on the disk, or refused. */
  async settled(): Promise<void> {
    while (this.#flushing) await this.#flushing
  }

  /** After `settled`. The database is not closed by this. */
  close(): void {
    this.#log.close()
  }

  async #flush(): Promise<void> {
    while (this.#queue.length > 0) {
      await new Promise(setImmediate)
      await this.#commit(this.#queue.splice(0, MOST))
    }
    this.#flushing = undefined
  }

  async #commit(changes: readonly Change[]): Promise<void> {
    const results = await this.#written(changes).catch((fault: unknown) => {
      const refused = databaseError(this.#database.name, fault)
      return changes.map(() => ({ fault: refused }))
    })
    changes.forEach((change, index) => {
      const result = results[index]!
      if ('fault' in result) change.reject(result.fault)
      else change.resolve(result.value as never)
    })
  }

  async #written(changes: readonly Change[]): Promise<Result[]> {
    if (this.#lost !== undefined) throw this.#lost
    const results = await this.#patiently(changes)
    if (!changes.some(({ durable }) => durable)) return results
    await this.#log.sync().catch((cause: unknown) => {
      const text = `${this.#database.name}: the disk did not take what was written: ${(cause as Error).message}`
      throw (this.#lost = new DmThinError('DM_STORE_DATABASE', text, { device: this.#database.name, cause }))
    })
    return results
  }

  async #patiently(changes: readonly Change[]): Promise<Result[]> {
    const end = performance.now() + LIMIT_MS
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      try {
        return this.#database.immediate(() => this.#each(changes))
      } catch (fault) {
        if (!isLocked(fault)) throw fault
        if (performance.now() > end) throw tooLong(this.#database.name, fault)
        await sleep(pause)
      }
    }
  }

  /** One alone is refused with its transaction. */
  #each(changes: readonly Change[]): Result[] {
    const [first, ...others] = changes
    return others.length === 0 ? [{ value: first!.run() }] : changes.map(change => this.#one(change))
  }

  /** A savepoint of its own, so that one change's refusal is not the others'. */
  #one({ run }: Change): Result {
    try {
      return { value: this.#database.savepoint(run) }
    } catch (fault) {
      // A full disk and its like end the whole transaction: there is nothing to go on with.
      if (!this.#database.inTransaction || isLocked(fault)) throw fault
      return { fault: databaseError(this.#database.name, fault) }
    }
  }
}

function tooLong(file: string, cause: unknown): DmThinError {
  const text = `${file} was locked by another process for ${LIMIT_MS / 1000} s: look for one that hangs`
  return new DmThinError('DM_STORE_DATABASE', text, { device: file, cause })
}
