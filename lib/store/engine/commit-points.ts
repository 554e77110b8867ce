// The commit point of a change: the pool's transaction id goes up, and with it everything before is on the disk. Those
// that ask while one is under way share the next.
import { hasCode } from '../../base/errors.js'
import type { ThinPool } from '../../pool/thin-pool.js'

const HIGHEST = 2n ** 64n - 1n

export class CommitPoints {
  readonly #pool: ThinPool
  readonly #recorded: () => bigint
  #id: bigint
  #running: Promise<bigint> | undefined
  #next: Promise<bigint> | undefined

  /** `recorded`: the highest id that any process has written down. */
  constructor(pool: ThinPool, id: bigint, recorded: () => bigint) {
    this.#pool = pool
    this.#id = id
    this.#recorded = recorded
  }

  /** Resolves with the transaction id when all that the pool was told before is on its disk. */
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

  /** Another process may have raised it: the kernel says so, and the pool says to what. */
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
