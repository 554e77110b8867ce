// Which thin id to ask for next. The kernel decides: an id that it says is taken is passed over.
import { withOwnSignal } from '../../base/own-signal.js'
import { DmThinError, ERRNO } from '../../base/errors.js'
import { MAX_THIN_ID } from '../../base/units.js'

export class ThinIds {
  readonly #list: () => Promise<Iterable<number>>
  readonly #last: number
  readonly #used = new Set<number>()
  #loading: Promise<void> | undefined
  #next = 0

  /** `list` reads the ids that exist from the pool's metadata; it is asked once, before the first id is chosen. */
  constructor(list: () => Promise<Iterable<number>>, last = MAX_THIN_ID) {
    this.#list = list
    this.#last = last
  }

  /** Reserves `count` ids that nobody here uses. */
  async take(count: number, signal?: AbortSignal): Promise<number[]> {
    await this.#load(signal)
    if (this.#used.size + count > this.#last + 1) {
      throw new DmThinError('DM_POOL_FULL', `the pool has no ${count} thin ids left of ${this.#last + 1}`)
    }
    const taken: number[] = []
    while (taken.length < count) {
      const id = this.#next
      this.#next = id === this.#last ? 0 : id + 1
      if (this.#used.has(id)) continue
      this.#used.add(id)
      taken.push(id)
    }
    return taken
  }

  /** The id exists, whoever made it. */
  use(id: number): void {
    this.#used.add(id)
  }

  /** The id is free again: deleted, or never made. */
  free(id: number): void {
    this.#used.delete(id)
  }

  /** Chooses an id, calls `make`, and takes another one for as long as the kernel says that the id exists. */
  async withNew<T>(signal: AbortSignal | undefined, make: (id: number) => Promise<T>): Promise<T> {
    for (;;) {
      const [id = 0] = await this.take(1, signal)
      try {
        return await make(id)
      } catch (fault) {
        if (fault instanceof DmThinError && fault.errno === ERRNO.EEXIST) continue // somebody else's: stays used
        this.free(id)
        throw fault
      }
    }
  }

  async #load(signal?: AbortSignal): Promise<void> {
    this.#loading ??= this.#read()
    await withOwnSignal(this.#loading, signal)
  }

  /** Serves all that wait for the first id, so no one caller's signal gives it up. */
  async #read(): Promise<void> {
    try {
      for (const id of await this.#list()) this.#used.add(id)
    } catch (fault) {
      this.#loading = undefined // ask again next time
      // Others commit faster than can be read. What they took the kernel says of each id.
      if (!(fault instanceof DmThinError && fault.code === 'DM_METADATA_BUSY')) throw fault
    }
  }
}
