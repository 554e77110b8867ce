// The write-ahead log of SQLite, held open by a descriptor: the kernel reports a failed write once to each descriptor that
// was open at that time, so that a descriptor that is opened later may not report it.
import { closeSync, openSync } from 'node:fs'
import { nativePort } from '../../kernel/native-port.js'
import type { Database } from './sqlite.js'

/** The write-ahead log of a database. */
export class LogFile {
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
