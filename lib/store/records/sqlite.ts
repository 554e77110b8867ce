// Opens databases, and names SQLite's errors. Node's own SQLite is used if this Node has it; better-sqlite3 otherwise.
import { existsSync } from 'node:fs'
import { DmThinError } from '../../base/errors.js'
import { dependency } from '../common/optional-dependency.js'
import { BetterConnection, betterSqlite } from './better-sqlite.js'
import { Database, type Connection } from './database.js'
import { NodeConnection, nodeSqlite } from './node-sqlite.js'

export { Database } from './database.js'

type Connect = (file: string) => Connection

let loaded: Promise<Connect> | undefined

/** Rejects with `DM_STORE_DEPENDENCY` if this Node has no SQLite and better-sqlite3 cannot be loaded. */
export function loadSqlite(): Promise<Connect> {
  return (loaded ??= load().catch((fault: unknown) => {
    loaded = undefined // it may be installed meanwhile
    throw fault
  }))
}

/** DM_THIN_SQLITE chooses for tests. */
async function load(): Promise<Connect> {
  const own = process.env['DM_THIN_SQLITE'] === 'better-sqlite3' ? undefined : nodeSqlite()
  if (own) return file => new NodeConnection(own, file)
  const constructor = await dependency('better-sqlite3', '^12', betterSqlite)
  return file => new BetterConnection(constructor, file)
}

/** Opens without waiting for locks: who waits, waits by timer and not in the database's own sleep. */
export async function openDatabase(file: string, options: { readonly mustExist?: boolean } = {}): Promise<Database> {
  const connect = await loadSqlite()
  if (options.mustExist && !existsSync(file)) {
    throw new DmThinError('DM_STORE_DATABASE', `${file} does not exist`, { device: file })
  }
  return databaseFaults(file, () => new Database(file, connect(file)))
}

/** Another process holds the lock that was needed. */
export function isLocked(fault: unknown): boolean {
  const code = codeOf(fault) ?? codeOf((fault as Error | undefined)?.cause)
  return code?.startsWith('SQLITE_BUSY') ?? false
}

/** SQLite's refusal as ours; anything else as it is. */
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

/** Of SQLite's result codes those that say something of their own: https://www.sqlite.org/rescode.html */
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

/** better-sqlite3 names the code; Node gives its number, whose low byte is the primary code. */
function codeOf(fault: unknown): string | undefined {
  if (typeof fault !== 'object' || fault === null || !('code' in fault) || typeof fault.code !== 'string')
    return undefined
  if (fault.code.startsWith('SQLITE_')) return fault.code
  if (fault.code !== 'ERR_SQLITE_ERROR' || !('errcode' in fault)) return undefined
  const number = Number(fault.errcode)
  return PRIMARY[number & 0xff] ?? `SQLITE_${number}`
}
