// Owners of unfinished calls. Each open store has a file in `owners/` and holds a lock of SQLite on it, which ends with the
// process in any case. Rows name the file of their owner.
import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import path from 'node:path'
import { databaseError, isLocked, openDatabase, type Database } from './sqlite.js'

/** Ends the name of the file of an owner that has died. */
const DEAD = '.dead'

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
      if (lock && existsSync(file)) {
        await syncFolder(folder) // the file must outlive a loss of power: it proves that the owner has not ended
        return new Owner(folder, id, lock)
      }
      lock?.close()
    }
  }

  /** Returns whether an owner is alive. Renames the file of a dead owner: see `hasDied`. */
  async isAlive(id: string): Promise<boolean> {
    if (id === this.id) return true
    const file = path.join(this.#folder, id)
    if (!existsSync(file)) return false
    const lock = await lockFile(file, true)
    if (!lock) return existsSync(file)
    renameIfThere(file, file + DEAD) // another process may have done it since the file was opened
    lock.close()
    return false
  }

  /**
   * Returns whether an owner that is not alive ended without `end`, and has not been forgotten since. If not, rows that name
   * it are older than its end: the records were restored from a copy.
   */
  hasDied(id: string): boolean {
    return existsSync(path.join(this.#folder, id + DEAD))
  }

  /** Removes what shows that owners have died, except for those of `keep`. */
  forget(keep: ReadonlySet<string>): void {
    for (const name of readdirSync(this.#folder)) {
      const isKept = !name.endsWith(DEAD) || keep.has(name.slice(0, -DEAD.length))
      if (!isKept) rmSync(path.join(this.#folder, name), { force: true })
    }
  }

  /** Returns the living owners. Renames the files of dead owners. */
  async sweep(): Promise<Set<string>> {
    const living = new Set<string>()
    for (const id of readdirSync(this.#folder)) {
      if (!id.includes('-journal') && !id.endsWith(DEAD) && (await this.isAlive(id))) living.add(id)
    }
    return living
  }

  /** Ends the owner. `settled`: no claim of it is left for recovery. */
  end(settled = true): void {
    if (settled) rmSync(path.join(this.#folder, this.id), { force: true })
    this.#lock.close()
  }
}

function renameIfThere(file: string, to: string): void {
  try {
    renameSync(file, to)
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code !== 'ENOENT') throw fault
  }
}

async function syncFolder(folder: string): Promise<void> {
  for (const each of [folder, path.dirname(folder)]) {
    const handle = await open(each, 'r')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
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
