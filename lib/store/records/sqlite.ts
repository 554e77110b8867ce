// The database's library: an optional peer, loaded by the first store that is opened.
import type Sqlite from 'better-sqlite3'
import { DmThinError } from '../../errors.js'
import { dependency } from '../dependency.js'

export type Database = Sqlite.Database
type Constructor = new (file: string, options?: Sqlite.Options) => Database

let loaded: Promise<Constructor> | undefined

/** Rejects with `DM_STORE_DEPENDENCY` where it is not installed, or not for this Node. */
export function loadSqlite(): Promise<Constructor> {
  return (loaded ??= load().catch((fault: unknown) => {
    loaded = undefined // it may be installed meanwhile
    throw fault
  }))
}

function load(): Promise<Constructor> {
  return dependency('better-sqlite3', '^12', async () => {
    const { default: constructor } = (await import('better-sqlite3')) as unknown as { default: Constructor }
    new constructor(':memory:').close() // the binary itself is looked for here
    return constructor
  })
}

/** Opens without waiting for locks: who waits, waits by timer and not in the database's own sleep. */
export async function openDatabase(file: string, options: { readonly mustExist?: boolean } = {}): Promise<Database> {
  const constructor = await loadSqlite()
  return databaseFaults(file, () => new constructor(file, { timeout: 0, fileMustExist: options.mustExist ?? false }))
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

function codeOf(fault: unknown): string | undefined {
  if (typeof fault !== 'object' || fault === null || !('code' in fault)) return undefined
  return typeof fault.code === 'string' && fault.code.startsWith('SQLITE_') ? fault.code : undefined
}
