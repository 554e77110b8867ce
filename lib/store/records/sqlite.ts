// Opening of databases, and the translation of SQLite's errors. The SQLite of Node is used if it exists, else
// better-sqlite3.
import { existsSync } from 'node:fs'
import { DmThinError } from '../../base/errors.js'
import { dependency } from '../../base/optional-dependency.js'
import { BetterConnection, betterSqlite } from './better-sqlite.js'
import { Database, type Connection } from './database.js'
import { NodeConnection, nodeSqlite } from './node-sqlite.js'

export { Database } from './database.js'

type Connect = (file: string) => Connection

let loaded: Promise<Connect> | undefined

/** Loads SQLite. Rejects with `DM_DEPENDENCY` if this Node has none and better-sqlite3 cannot be loaded. */
export function loadSqlite(): Promise<Connect> {
  return (loaded ??= load().catch((fault: unknown) => {
    loaded = undefined // the package may be installed before the next call
    throw fault
  }))
}

/** Selects the library. Tests select better-sqlite3 with DM_THIN_SQLITE. */
async function load(): Promise<Connect> {
  const own = process.env['DM_THIN_SQLITE'] === 'better-sqlite3' ? undefined : nodeSqlite()
  if (own) return file => new NodeConnection(own, file)
  const constructor = await dependency('better-sqlite3', '^12', betterSqlite)
  return file => new BetterConnection(constructor, file)
}

/** Opens a database that does not wait for locks: callers wait by timer, because SQLite would block the thread. */
export async function openDatabase(file: string, options: { readonly mustExist?: boolean } = {}): Promise<Database> {
  const connect = await loadSqlite()
  if (options.mustExist && !existsSync(file)) {
    throw new DmThinError('DM_STORE_DATABASE', `${file} does not exist`, { device: file })
  }
  return databaseFaults(file, () => new Database(file, connect(file)))
}

/** Returns whether the error means that another process holds a lock of the database. */
export function isLocked(fault: unknown): boolean {
  const code = codeOf(fault) ?? codeOf((fault as Error | undefined)?.cause)
  return code?.startsWith('SQLITE_BUSY') ?? false
}

/** Converts an error of SQLite to `DM_STORE_DATABASE`. Returns other errors unchanged. */
export function databaseError(file: string, fault: unknown): unknown {
  const code = codeOf(fault)
  if (code === undefined) return fault
  const text = `${file}: ${(fault as Error).message} (${code})`
  return new DmThinError('DM_STORE_DATABASE', text, { device: file, cause: fault })
}

export function databaseFaults<T>(file: string, body: () => T): T {
  try {
    return body()
  } catch (fault) {
    throw databaseError(file, fault)
  }
}

/** Names of SQLite's primary result codes: https://www.sqlite.org/rescode.html */
const PRIMARY: Readonly<Record<number, string>> = {
  1: 'SQLITE_ERROR',
  5: 'SQLITE_BUSY',
  6: 'SQLITE_LOCKED',
  7: 'SQLITE_NOMEM',
  8: 'SQLITE_READONLY',
  10: 'SQLITE_IOERR',
  11: 'SQLITE_CORRUPT',
  13: 'SQLITE_FULL',
  14: 'SQLITE_CANTOPEN',
  19: 'SQLITE_CONSTRAINT',
  26: 'SQLITE_NOTADB',
}

/**
 * Returns the name of SQLite's result code. better-sqlite3 reports the name, and Node the number, whose low byte is the
 * primary code.
 */
function codeOf(fault: unknown): string | undefined {
  if (typeof fault !== 'object' || fault === null || !('code' in fault) || typeof fault.code !== 'string')
    return undefined
  if (fault.code.startsWith('SQLITE_')) return fault.code
  if (fault.code !== 'ERR_SQLITE_ERROR' || !('errcode' in fault)) return undefined
  const number = Number(fault.errcode)
  return PRIMARY[number & 0xff] ?? `SQLITE_${number}`
}
