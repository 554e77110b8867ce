// The table of leases: which volume a call of which owner needs.
import type { Database } from './sqlite.js'

/** `use`: the volume is activated, and perhaps written. `keep`: the layer is not to be removed. */
export type LeaseKind = 'use' | 'keep'

export interface LeaseRow {
  readonly id: number
  readonly thin: number
  readonly kind: LeaseKind
  readonly owner: string
}

/** Leases of owners that have died stay until somebody deletes them: whether an owner lives is not known here. */
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

  /** Of one volume. */
  of(thin: number): LeaseRow[] {
    return this.#rows('WHERE thin = ?', thin)
  }

  #rows(where: string, ...values: number[]): LeaseRow[] {
    const rows = this.#database.prepare(`SELECT id, thin, kind, owner FROM lease ${where}`).all(...values) as LeaseRow[]
    return rows.map(row => ({ ...row, id: Number(row.id), thin: Number(row.thin) })) // integers come as bigints
  }

  /** A layer has another volume from here on: who keeps it keeps that one. */
  moveKept(from: number, to: number): void {
    this.#database.prepare(`UPDATE lease SET thin = ? WHERE thin = ? AND kind = 'keep'`).run(to, from)
  }
}
