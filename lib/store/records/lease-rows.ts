// The table of leases: the volumes that calls need, with the owners of these calls.
import type { Database } from './sqlite.js'

/** The kind of a lease. `use`: the call activates the volume, and may write it. `keep`: the layer must not be removed. */
export type LeaseKind = 'use' | 'keep'

export interface LeaseRow {
  readonly id: number
  readonly thin: number
  readonly kind: LeaseKind
  readonly owner: string
}

/** The rows of leases. Those of dead owners stay until `Leases` deletes them. */
export class LeaseRows {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  insert(thin: number, kind: LeaseKind, owner: string): number {
    const sql = 'INSERT INTO lease (thin, kind, owner) VALUES (?, ?, ?)'
    return Number(this.#database.prepare(sql).run(thin, kind, owner).lastInsertRowid)
  }

  delete(id: number): void {
    this.#database.prepare('DELETE FROM lease WHERE id = ?').run(id)
  }

  all(): LeaseRow[] {
    return this.#rows('')
  }

  /** Returns the leases on one volume. */
  of(thin: number): LeaseRow[] {
    return this.#rows('WHERE thin = ?', thin)
  }

  #rows(where: string, ...values: number[]): LeaseRow[] {
    const rows = this.#database.prepare(`SELECT id, thin, kind, owner FROM lease ${where}`).all(...values) as LeaseRow[]
    return rows.map(row => ({ ...row, id: Number(row.id), thin: Number(row.thin) })) // SQLite returns integers as bigints
  }

  /** Moves the leases of kind `keep` to the new volume of a layer. */
  moveKept(from: number, to: number): void {
    this.#database.prepare(`UPDATE lease SET thin = ? WHERE thin = ? AND kind = 'keep'`).run(to, from)
  }
}
