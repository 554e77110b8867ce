// The log that SQLite writes ahead, held open by a descriptor of ours: the kernel tells each descriptor once of what the
// disk did not take, so that one opened later may hear of nothing.
import { closeSync, openSync } from 'node:fs'
import { nativePort } from '../../kernel/native-port.js'
import type { Database } from './sqlite.js'

export class LogFile {
  readonly #path: string
  #file: number | undefined

  constructor(database: Database) {
    this.#path = `${database.name}-wal`
  }

  /** Resolves when all that is committed by now, by whichever process, is on the disk. Not before the first commit. */
  async sync(): Promise<void> {
    this.#file ??= openSync(this.#path, 'r')
    await nativePort().syncFile(this.#file)
  }

  /** After the last `sync` has come back. */
  close(): void {
    if (this.#file !== undefined) closeSync(this.#file)
    this.#file = undefined
  }
}
