// Changes of the records, many in one transaction. Each transaction needs a wait for the disk, so that changes of one turn of
// the event loop, or during such a wait, share a transaction. Nothing waits inside a transaction, and a commit does not wait
// for the disk: a native thread syncs the log before the changes are acknowledged. Locks of other processes are awaited by
// timer.
import { closeSync, openSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { DmThinError } from '../../base/errors.js'
import { nativePort } from '../../kernel/native-port.js'
import { databaseError, isLocked, type Database } from './sqlite.js'

/** The limit of the wait for another process. Transactions of a store take milliseconds. */
const LIMIT_MS = 30_000
/** The limit of changes in one transaction. More would block the event loop for too long. */
const MOST = 128
const FIRST_PAUSE_MS = 1
const LONGEST_PAUSE_MS = 50

interface WriteOptions {
  /**
   * True if `write` waits until the change is on the disk. False for changes that are useless after a restart of the machine;
   * other processes see them immediately. Default true.
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

/** The queue of changes of a database. */
export class Writer {
  readonly #database: Database
  readonly #queue: Change[] = []
  #flushing: Promise<void> | undefined
  /** The error of a failed sync. The kernel reports it only once, so that no change is acknowledged after it. */
  #lost: DmThinError | undefined
  readonly #log: LogFile

  constructor(database: Database) {
    this.#database = database
    this.#log = new LogFile(database)
  }

  /** Runs `change` in a transaction and resolves when it is on the disk. If `change` throws, it is rolled back. */
  write<T>(change: () => T, { durable = true }: WriteOptions = {}): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#queue.push({ run: change, durable, resolve, reject })
      this.#flushing ??= this.#flush()
    })
  }

  /** Waits until all changes are on the disk, or have failed. */
  async settled(): Promise<void> {
    while (this.#flushing) await this.#flushing
  }

  /** Closes the log, but not the database. Call it after `settled`. */
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
    const results = await this.#retryWhileLocked(changes)
    if (!changes.some(({ durable }) => durable)) return results
    await this.#log.sync().catch((cause: unknown) => {
      const text = `${this.#database.name}: write to disk failed: ${(cause as Error).message}`
      throw (this.#lost = new DmThinError('DM_STORE_DATABASE', text, { device: this.#database.name, cause }))
    })
    return results
  }

  async #retryWhileLocked(changes: readonly Change[]): Promise<Result[]> {
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

  /** Runs the changes. A single change needs no savepoint: if it throws, the transaction is rolled back. */
  #each(changes: readonly Change[]): Result[] {
    const [first, ...others] = changes
    return others.length === 0 ? [{ value: first!.run() }] : changes.map(change => this.#one(change))
  }

  /** Runs one change in a savepoint, so that its error does not affect the other changes. */
  #one({ run }: Change): Result {
    try {
      return { value: this.#database.savepoint(run) }
    } catch (fault) {
      // Some errors, such as a full disk, end the whole transaction.
      if (!this.#database.inTransaction || isLocked(fault)) throw fault
      return { fault: databaseError(this.#database.name, fault) }
    }
  }
}

function tooLong(file: string, cause: unknown): DmThinError {
  const text = `${file} was locked by another process for ${LIMIT_MS / 1000} s; a hung process probably holds the lock`
  return new DmThinError('DM_STORE_DATABASE', text, { device: file, cause })
}

/**
 * The write-ahead log of SQLite, held open by a descriptor: the kernel reports a failed write once to each descriptor that was
 * open at that time, so that a descriptor that is opened later may not report it.
 */
class LogFile {
  readonly #path: string
  #file: number | undefined

  constructor(database: Database) {
    this.#path = `${database.name}-wal`
  }

  /** Waits until all commits so far, of all processes, are on the disk. The file exists after the first commit. */
  async sync(): Promise<void> {
    this.#file ??= openSync(this.#path, 'r')
    await nativePort().syncFile(this.#file)
  }

  /** Closes the file. No `sync` may be in progress. */
  close(): void {
    if (this.#file !== undefined) closeSync(this.#file)
    this.#file = undefined
  }
}
