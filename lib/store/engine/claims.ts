// The thin ids of a store object. They are claimed durably in blocks, so that a call that uses one need not record that it
// begins: recovery finds the volumes of unfinished calls by the claim of their owner.
import type { ClaimRow } from '../records/claim-rows.js'
import type { Owner } from '../records/owner.js'
import type { Records } from '../records/records.js'
import type { Writer } from '../records/writer.js'
import { step } from '../common/step-channel.js'

/** The thin ids of a block. */
const COUNT = 256
/** The number of free ids at which the next block is claimed in the background. */
const LOW = 32

interface ClaimParts {
  readonly records: Records
  readonly writer: Writer
  readonly owner: Owner
}

/** The claimed thin ids of a store object. */
export class Claims {
  readonly #parts: ClaimParts
  readonly #free: number[] = []
  /** The ids whose call has neither recorded nor deleted its volume. */
  readonly #used = new Set<number>()
  #claims: ClaimRow[] = []
  #claiming: Promise<void> | undefined

  constructor(parts: ClaimParts) {
    this.#parts = parts
  }

  /** Returns an id for one volume. Call `settle` when its row is on the disk, or when there is no volume. */
  async take(): Promise<number> {
    while (this.#free.length === 0) await this.#more()
    const id = this.#free.shift()!
    this.#used.add(id)
    if (this.#free.length < LOW) this.#more().catch(() => {}) // the next call tries again, and reports the error
    return id
  }

  settle(id: number): void {
    this.#used.delete(id)
  }

  /** Returns true if a call of this store object may have a volume with this id that has no row. */
  isInUse(id: number): boolean {
    return this.#used.has(id)
  }

  /** Ends the claims. Returns false if a volume may exist without a row, whose claim stays for recovery. */
  async release(): Promise<boolean> {
    await this.#claiming?.catch(() => {})
    const { records, writer } = this.#parts
    const [unused] = this.#free
    const ended = this.#claims.filter(claim => !this.#isUsed(claim))
    if (ended.length > 0)
      await writer.write(() => {
        for (const claim of ended) {
          if (unused !== undefined && isIn(claim, unused)) records.claims.giveBack(claim, unused)
          else records.claims.delete(claim)
        }
      })
    return ended.length === this.#claims.length
  }

  #more(): Promise<void> {
    return (this.#claiming ??= this.#claim().finally(() => (this.#claiming = undefined)))
  }

  async #claim(): Promise<void> {
    const { records, writer, owner } = this.#parts
    step('prepare.claim', '')
    const { added, ended } = await writer.write(() => {
      const isOver = (claim: ClaimRow) => !this.#isUsed(claim) && !this.#free.some(id => isIn(claim, id))
      const over = this.#claims.filter(isOver)
      for (const claim of over) records.claims.delete(claim)
      return { added: records.claims.add(COUNT, owner.id), ended: over }
    })
    this.#claims = [...this.#claims.filter(claim => !ended.includes(claim)), added.claim]
    this.#free.push(...added.ids)
  }

  #isUsed(claim: ClaimRow): boolean {
    return [...this.#used].some(id => isIn(claim, id))
  }
}

export const isIn = ({ first, last }: ClaimRow, id: number): boolean => first <= id && id <= last
