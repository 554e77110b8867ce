// Who is in the middle of something, and whether they still live. Each open store has a file in `owners/` that it holds
// locked, by SQLite's own lock on it: it ends with the process, whatever ends that. Rows name their owner's file.
import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { databaseError, isLocked, openDatabase, type Database } from './sqlite.js'

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
      // Between its making and its locking somebody who swept may have taken it for a dead one's.
      if (lock && existsSync(file)) return new Owner(folder, id, lock)
      lock?.close()
    }
  }

  /** False where it has ended in any way. Its file is gone then. */
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

  /** Takes away the files of dead owners. Gives those that live. */
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

/** The file, locked by nobody else; undefined where somebody has it, or where it went meanwhile. */
async function lockFile(file: string, mustExist: boolean): Promise<Database | undefined> {
  let database: Database | undefined
  try {
    database = await openDatabase(file, { mustExist })
    database.pragma('journal_mode = MEMORY') // nothing is ever written: no journal beside it
    database.exec('BEGIN EXCLUSIVE')
    return database
  } catch (fault) {
    database?.close()
    if (isLocked(fault) || (mustExist && !existsSync(file))) return undefined
    throw databaseError(file, fault)
  }
}
