// The table of claims: blocks of thin ids, each with the owner whose calls use them. A volume with a claimed id and without a
// row belongs to an unfinished call of the owner.
import { DmThinError } from '../../base/errors.js'
import { LAST_CHOSEN_THIN_ID } from '../../base/units.js'
import type { Database } from './sqlite.js'

const THIN_IDS = LAST_CHOSEN_THIN_ID + 1

export interface ClaimRow {
  /** The first thin id of the block, which identifies the claim. */
  readonly first: number
  /** The last thin id of the block. */
  readonly last: number
  readonly owner: string
}

/** The rows of claims. Changes are made inside a transaction. */
export class ClaimRows {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  all(): ClaimRow[] {
    const rows = this.#database.prepare('SELECT first, last, owner FROM claim ORDER BY first').all() as ClaimRow[]
    return rows.map(row => ({ ...row, first: Number(row.first), last: Number(row.last) })) // integers are bigints
  }

  /** Returns true if a claim contains the thin id. */
  has(thin: number): boolean {
    return this.#database.prepare('SELECT 1 FROM claim WHERE ? BETWEEN first AND last').get(thin) !== undefined
  }

  /**
   * Claims the next block of at most `count` thin ids. Returns the claim and those of its ids that no row has. Blocks continue
   * at 0 after the last id.
   */
  add(count: number, owner: string): { readonly claim: ClaimRow; readonly ids: number[] } {
    for (let tried = 0; tried < THIN_IDS; tried += count) {
      const next = this.#next
      const first = next + count > THIN_IDS ? 0 : next
      const last = first + count - 1
      this.#setNext((last + 1) % THIN_IDS)
      if (this.all().some(claim => claim.first <= last && first <= claim.last)) continue
      const used = new Set(this.#usedIn(first, last))
      const ids = Array.from({ length: count }, (_, index) => first + index).filter(id => !used.has(id))
      if (ids.length === 0) continue
      this.#database.prepare('INSERT INTO claim VALUES (?, ?, ?)').run(first, last, owner)
      return { claim: { first, last, owner }, ids }
    }
    throw new DmThinError('DM_POOL_FULL', `the store has no thin id left of ${THIN_IDS}`)
  }

  /** Ends a claim. Returns false if another process has ended it. */
  delete({ first, owner }: ClaimRow): boolean {
    return this.#database.prepare('DELETE FROM claim WHERE first = ? AND owner = ?').run(first, owner).changes > 0
  }

  /** Ends a claim whose ids from `unused` on were never used. They are the next to be chosen, unless others followed. */
  giveBack(claim: ClaimRow, unused: number): void {
    if (this.delete(claim) && this.#next === (claim.last + 1) % THIN_IDS) this.#setNext(unused)
  }

  get #next(): number {
    const row = this.#database.prepare(`SELECT value FROM store WHERE name = 'next'`).get() as
      { value: string } | undefined
    return Number(row?.value ?? 0)
  }

  #setNext(id: number): void {
    const sql = `INSERT INTO store VALUES ('next', ?) ON CONFLICT DO UPDATE SET value = excluded.value`
    this.#database.prepare(sql).run(String(id))
  }

  #usedIn(first: number, last: number): number[] {
    const rows = this.#database.prepare('SELECT thin FROM layer WHERE thin BETWEEN ? AND ?').all(first, last)
    return (rows as { thin: bigint }[]).map(({ thin }) => Number(thin))
  }
}
