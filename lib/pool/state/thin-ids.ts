// Thin ids, and the choice of the next one. The kernel decides: an id that it reports as in use is skipped.
import { withOwnSignal } from '../../base/own-signal.js'
import { DmThinError, ERRNO } from '../../base/errors.js'
import { checkNumber } from '../../base/options.js'
import { LAST_CHOSEN_THIN_ID, MAX_THIN_ID } from '../../base/units.js'

export function checkThinId(id: unknown): number {
  return checkNumber('id', id, { min: 0, max: MAX_THIN_ID })
}

export class ThinIds {
  readonly #list: () => Promise<Iterable<number>>
  readonly #last: number
  readonly #used = new Set<number>()
  #loading: Promise<void> | undefined
  #next = 0

  /** `list` reads the existing ids from the pool's metadata; it is called once, before the first id is chosen. */
  constructor(list: () => Promise<Iterable<number>>, last = LAST_CHOSEN_THIN_ID) {
    this.#list = list
    this.#last = last
  }

  /** Reserves `count` ids that are not in use in this process. */
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

  /** Marks the id as in use, whoever created the volume. */
  use(id: number): void {
    if (id <= this.#last) this.#used.add(id)
  }

  /** Marks the id as free: its volume was deleted, or not created. */
  free(id: number): void {
    this.#used.delete(id)
  }

  /** Chooses an id and calls `make`. Repeats this with another id if the kernel reports that the id exists. */
  async withNew<T>(signal: AbortSignal | undefined, make: (id: number) => Promise<T>): Promise<T> {
    for (;;) {
      const [id = 0] = await this.take(1, signal)
      try {
        return await make(id)
      } catch (fault) {
        if (fault instanceof DmThinError && fault.errno === ERRNO.EEXIST) continue // not created here: stays in use
        this.free(id)
        throw fault
      }
    }
  }

  async #load(signal?: AbortSignal): Promise<void> {
    this.#loading ??= this.#read()
    await withOwnSignal(this.#loading, signal)
  }

  /** Serves all callers that wait for the first id, so the signal of one of them does not abort it. */
  async #read(): Promise<void> {
    try {
      for (const id of await this.#list()) this.use(id)
    } catch (fault) {
      this.#loading = undefined // try again at the next call
      // Other processes commit faster than the metadata can be read. The kernel rejects their ids one by one.
      if (!(fault instanceof DmThinError && fault.code === 'DM_METADATA_BUSY')) throw fault
    }
  }
}
