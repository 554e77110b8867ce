// Owners of unfinished calls. Each open store has a file in `owners/` and holds a lock of SQLite on it, which ends with the
// process in any case. Rows name the file of their owner.
import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { databaseError, isLocked, openDatabase, type Database } from './sqlite.js'

/** The owner file of an open store. */
export class Owner {
  readonly id: string
  readonly #folder: string
  readonly #lock: Database

  private constructor(folder: string, id: string, lock: Database) {
    this.#folder = folder
    this.id = id
    this.#lock = lock
  }

  static async begin(folder: string): Promise<Owner> {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    for (;;) {
      const id = randomUUID()
      const file = path.join(folder, id)
      const lock = await lockFile(file, false)
      // Between the creation and the lock, another process may have swept the file as that of a dead owner.
      if (lock && existsSync(file)) return new Owner(folder, id, lock)
      lock?.close()
    }
  }

  /** Returns whether an owner is alive. Removes the file of a dead owner. */
  async isAlive(id: string): Promise<boolean> {
    if (id === this.id) return true
    const file = path.join(this.#folder, id)
    if (!existsSync(file)) return false
    const lock = await lockFile(file, true)
    if (!lock) return existsSync(file)
    rmSync(file, { force: true })
    lock.close()
    return false
  }

  /** Removes the files of dead owners. Returns the living owners. */
  async sweep(): Promise<Set<string>> {
    const living = new Set<string>()
    for (const id of readdirSync(this.#folder)) {
      if (!id.includes('-journal') && (await this.isAlive(id))) living.add(id)
    }
    return living
  }

  end(): void {
    rmSync(path.join(this.#folder, this.id), { force: true })
    this.#lock.close()
  }
}

/** Locks a file. Returns undefined if another process has it locked, or has removed it concurrently. */
async function lockFile(file: string, mustExist: boolean): Promise<Database | undefined> {
  let database: Database | undefined
  try {
    database = await openDatabase(file, { mustExist })
    database.pragma('journal_mode = MEMORY') // nothing is ever written, so that no journal file is needed
    database.exec('BEGIN EXCLUSIVE')
    return database
  } catch (fault) {
    database?.close()
    if (isLocked(fault) || (mustExist && !existsSync(file))) return undefined
    throw databaseError(file, fault)
  }
}
