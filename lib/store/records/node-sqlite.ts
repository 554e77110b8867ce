// The connection by the SQLite of Node, in Node 22.16 and later. It is experimental: Node prints a warning once.
import type { Connection, SqlValue, Statement } from './database.js'

interface NodeStatement {
  run(...values: SqlValue[]): { changes: number | bigint; lastInsertRowid: number | bigint }
  get(...values: SqlValue[]): unknown
  all(...values: SqlValue[]): unknown[]
  setReadBigInts(enabled: boolean): void
}

interface NodeDatabase {
  readonly isTransaction: boolean
  prepare(sql: string): NodeStatement
  exec(sql: string): void
  close(): void
}

interface NodeSqlite {
  readonly DatabaseSync: new (file: string, options?: { readonly timeout?: number }) => NodeDatabase
}

/** Returns Node's module, or undefined if this Node has no SQLite that reports whether a transaction is open. */
export function nodeSqlite(): NodeSqlite | undefined {
  const builtin = (process as { getBuiltinModule?: (name: string) => unknown }).getBuiltinModule
  const loaded = builtin?.('node:sqlite') as NodeSqlite | undefined
  if (!loaded) return undefined
  const probe = new loaded.DatabaseSync(':memory:')
  const serves = 'isTransaction' in probe
  probe.close()
  return serves ? loaded : undefined
}

export class NodeConnection implements Connection {
  readonly #database: NodeDatabase

  constructor(module: NodeSqlite, file: string) {
    this.#database = new module.DatabaseSync(file, { timeout: 0 })
  }

  get inTransaction(): boolean {
    return this.#database.isTransaction
  }

  prepare(sql: string): Statement {
    const statement = this.#database.prepare(sql)
    statement.setReadBigInts(true)
    return {
      run: (...values) => {
        const { changes, lastInsertRowid } = statement.run(...values)
        return { changes: Number(changes), lastInsertRowid }
      },
      get: (...values) => statement.get(...values),
      all: (...values) => statement.all(...values),
    }
  }

  exec(sql: string): void {
    this.#database.exec(sql)
  }

  close(): void {
    this.#database.close()
  }
}
