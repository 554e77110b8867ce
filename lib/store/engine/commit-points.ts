// Commit points: increasing the pool's transaction id commits all previous changes of the pool to disk. Calls that ask for a
// commit point while one is in progress share the next one.
import { hasCode } from '../../base/errors.js'
import type { ThinPool } from '../../pool/thin-pool.js'

const HIGHEST = 2n ** 64n - 1n

/** The commit points of a pool. */
export class CommitPoints {
  readonly #pool: ThinPool
  readonly #recorded: () => bigint
  #id: bigint
  #running: Promise<bigint> | undefined
  #next: Promise<bigint> | undefined

  /** `recorded` returns the highest transaction id that any process has recorded. */
  constructor(pool: ThinPool, id: bigint, recorded: () => bigint) {
    this.#pool = pool
    this.#id = id
    this.#recorded = recorded
  }

  /** Commits the pool. Resolves with the transaction id when all previous changes of the pool are on its disk. */
  point(): Promise<bigint> {
    return (this.#next ??= this.#following(this.#running))
  }

  async #following(before: Promise<bigint> | undefined): Promise<bigint> {
    if (before) await before.catch(() => {})
    else await Promise.resolve()
    const running = this.#raise()
    this.#running = running
    this.#next = undefined
    void running
      .catch(() => {})
      .finally(() => {
        if (this.#running === running) this.#running = undefined
      })
    return running
  }

  /** Increases the id. If another process has increased it, retries with the id that the pool reports. */
  async #raise(): Promise<bigint> {
    // Without it the kernel would refuse what another process has raised, and complain in its log.
    const recorded = this.#recorded()
    if (recorded > this.#id) this.#id = recorded
    for (;;) {
      const newId = this.#id === HIGHEST ? 1n : this.#id + 1n
      try {
        await this.#pool.setTransactionId({ currentId: this.#id, newId })
        return (this.#id = newId)
      } catch (fault) {
        if (!hasCode(fault, 'DM_TRANSACTION_MISMATCH')) throw fault
        this.#id = BigInt(fault.detail!)
      }
    }
  }
}
