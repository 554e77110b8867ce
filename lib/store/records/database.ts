// The interface to SQLite, for each library that provides it. Statements do not wait for locks: the Writer waits by timer.

export type SqlValue = string | number | bigint | null

export interface Statement {
  run(...values: SqlValue[]): { readonly changes: number; readonly lastInsertRowid: number | bigint }
  /** Returns the first row. Its integers are bigints. */
  get(...values: SqlValue[]): unknown
  all(...values: SqlValue[]): unknown[]
}

/** A connection of a library. */
export interface Connection {
  readonly inTransaction: boolean
  prepare(sql: string): Statement
  exec(sql: string): void
  close(): void
}

/** A database, with transactions. */
export class Database {
  readonly name: string
  readonly #connection: Connection
  /** The statements that begin and end transactions: compiled once, because each change needs two. */
  readonly #steps = new Map<string, Statement>()

  constructor(name: string, connection: Connection) {
    this.name = name
    this.#connection = connection
  }

  /** True if a transaction is open. False after SQLite has rolled it back by itself, for example because of a full disk. */
  get inTransaction(): boolean {
    return this.#connection.inTransaction
  }

  prepare(sql: string): Statement {
    return this.#connection.prepare(sql)
  }

  exec(sql: string): void {
    this.#connection.exec(sql)
  }

  /** Runs a PRAGMA and returns its first value, or undefined. */
  pragma(text: string): number | string | undefined {
    const row = this.#connection.prepare(`PRAGMA ${text}`).get() as Record<string, bigint | string> | undefined
    const [value] = Object.values(row ?? {})
    return typeof value === 'bigint' ? Number(value) : value
  }

  /** Runs `body` in a transaction that has the write lock from its beginning. Commits it, or rolls it back if `body` throws. */
  immediate<T>(body: () => T): T {
    this.#step('BEGIN IMMEDIATE')
    return this.#ended(body, 'COMMIT', 'ROLLBACK')
  }

  /** Runs `body`, which only reads, in a transaction. */
  deferred<T>(body: () => T): T {
    this.#step('BEGIN')
    return this.#ended(body, 'COMMIT', 'ROLLBACK')
  }

  /** Runs `body` inside a transaction. If `body` throws, only its own changes are rolled back. */
  savepoint<T>(body: () => T): T {
    this.#step('SAVEPOINT change')
    return this.#ended(body, 'RELEASE change', 'ROLLBACK TO change; RELEASE change')
  }

  close(): void {
    this.#connection.close()
  }

  #step(sql: string): void {
    let known = this.#steps.get(sql)
    if (!known) this.#steps.set(sql, (known = this.prepare(sql)))
    known.run()
  }

  #ended<T>(body: () => T, end: string, undo: string): T {
    try {
      const value = body()
      this.#step(end)
      return value
    } catch (fault) {
      if (this.inTransaction) this.exec(undo)
      throw fault
    }
  }
}
