// The connection by better-sqlite3: an optional peer dependency, for versions of Node without SQLite.
import type Sqlite from 'better-sqlite3'
import type { Connection, SqlValue, Statement } from './database.js'

type BetterSqlite = new (file: string, options?: Sqlite.Options) => Sqlite.Database

export async function betterSqlite(): Promise<BetterSqlite> {
  const { default: constructor } = (await import('better-sqlite3')) as unknown as { default: BetterSqlite }
  new constructor(':memory:').close() // loads the binary
  return constructor
}

export class BetterConnection implements Connection {
  readonly #database: Sqlite.Database

  constructor(constructor: BetterSqlite, file: string) {
    this.#database = new constructor(file, { timeout: 0 })
  }

  get inTransaction(): boolean {
    return this.#database.inTransaction
  }

  prepare(sql: string): Statement {
    const statement = this.#database.prepare(sql)
    if (statement.reader) return statement.safeIntegers()
    // Some PRAGMAs return no row; better-sqlite3 rejects `get` and `all` for these.
    const run = (...values: SqlValue[]) => statement.run(...values)
    return { run, get: (...values) => void run(...values), all: (...values) => (run(...values), []) }
  }

  exec(sql: string): void {
    this.#database.exec(sql)
  }

  close(): void {
    this.#database.close()
  }
}
