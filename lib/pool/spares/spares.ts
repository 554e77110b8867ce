// The spare volumes of a keeper: volumes of one block each, which it deletes if a resume of the full pool hangs.
//
// To resume a pool, the kernel suspends the pool's thins and returns their waiting writes to the queues of their devices.
// A write that looks at its mapping at that time may arrive afterwards, and then waits for a block: the suspension waits
// for that write, until the kernel fails it after `no_space_timeout` (drivers/md/dm-thin.c: thin_bio_map looks at
// `requeue_mode` before it sleeps, process_thin_deferred_cells does not look at it). If a block becomes free, the kernel
// looks at all waiting writes again, and now returns them all. Nothing else than a message can free one at that time.
import { DmThinError, ERRNO } from '../../base/errors.js'
import { nodePath } from '../../block/node-path.js'
import { sectors } from '../../base/units.js'
import { message } from '../../target/messages.js'
import { createThin } from '../state/commit-point.js'
import { thin } from '../../target/thin.js'
import {
  deleteSpares,
  forgetMaking,
  markBlock,
  randomSpareId,
  recordMaking,
  removeSpareDevices,
  spareUuidPrefix,
  spareIds,
} from './spare-volumes.js'
import { type PoolContext, activationGuard, poolStatusLine, removalGuard } from '../state/context.js'
import { withSharedLock } from '../state/locks.js'
import type { SpaceStatus } from '../state/status.js'

/**
 * The number of spares. The kernel suspends the volumes one after the other. Each may have such a write, which may take the
 * block that the spare deleted before has freed.
 */
const SPARES = 4
/** A spare is made only if so many more blocks are free than at the low-water mark: spares do not make a pool low. */
const LEAST_FREE = 16
/** The time after which a resume counts as hanging, and the time that each freed block has. */
const HANG_MS = 500
const NEXT_MS = 1_000
const PAGE_BYTES = 4096

export class Spares {
  readonly #context: PoolContext
  readonly #signal: AbortSignal
  readonly #held = new Set<number>()
  /** Ids that no spare can have. */
  #others: readonly number[] = []
  #leastFree = Infinity
  #filling: Promise<void> | undefined

  /** After `signal`, no further spare is made. */
  constructor(context: PoolContext, signal: AbortSignal) {
    this.#context = context
    this.#signal = signal
  }

  /** Takes over the spares of the earlier keeper, and watches resumes. */
  async begin(): Promise<void> {
    await this.#find().catch(() => {}) // the next `refill` repeats it
    this.#context.resumes.watch = this.watch
  }

  /** Ends `begin`. The spares stay, for the next keeper. */
  leave(): void {
    if (this.#context.resumes.watch === this.watch) this.#context.resumes.watch = undefined
  }

  /** Deletes the spares of a pool that is no longer kept: a write to it that waits for space has failed. */
  async delete(): Promise<void> {
    await this.#filling
    this.#held.clear()
    await deleteSpares(this.#context).catch(() => {}) // they stay hidden, and the next keeper has them
  }

  /** Resolves as the resume of the pool does. Deletes one spare after the other while it hangs in a full pool. */
  readonly watch = async (resume: Promise<unknown>): Promise<void> => {
    let timer: NodeJS.Timeout | undefined
    const free = () => {
      void this.#free().catch(() => {})
      timer = setTimeout(free, NEXT_MS)
    }
    timer = setTimeout(free, HANG_MS)
    try {
      await resume
    } finally {
      clearTimeout(timer)
    }
  }

  /**
   * Makes the missing spares in the background, if the pool has space. `lowBlocks`: the number of free blocks at which it
   * grows. A failure is not reported: the next look retries.
   */
  refill(data: SpaceStatus, lowBlocks: number): void {
    this.#leastFree = lowBlocks + LEAST_FREE
    if (this.#filling !== undefined || this.#held.size >= SPARES || !this.#hasRoom(data)) return
    this.#filling = this.#fill()
      .catch(() => {})
      .finally(() => (this.#filling = undefined))
  }

  #hasRoom({ usedBlocks, totalBlocks }: Pick<SpaceStatus, 'usedBlocks' | 'totalBlocks'>): boolean {
    return totalBlocks - usedBlocks > this.#leastFree
  }

  async #free(): Promise<void> {
    const { port, address } = this.#context
    const [id] = this.#held
    if (id === undefined) return
    const { mode } = await poolStatusLine(this.#context)
    if (mode !== 'out_of_data_space' || !this.#held.delete(id)) return
    await port.targetMessage(address, 0, message.delete(id))
  }

  /**
   * Finds the spares in the metadata. Returns the id of one that a killed keeper was making. Rejects with `DM_BUSY` while
   * an earlier keeper, whose process lives, is writing one.
   */
  async #find(): Promise<number | undefined> {
    await removeSpareDevices(this.#context, 0)
    const { spares, halfMade, others } = await spareIds(this.#context)
    this.#others = others
    this.#held.clear()
    for (const id of spares) this.#held.add(id)
    return halfMade
  }

  async #fill(): Promise<void> {
    for (let halfMade = await this.#find(); this.#held.size < SPARES; halfMade = undefined) {
      if (this.#signal.aborted) return
      const line = await poolStatusLine(this.#context)
      if (!('totalDataBlocks' in line) || line.mode !== 'rw') return
      if (!this.#hasRoom({ usedBlocks: line.usedDataBlocks, totalBlocks: line.totalDataBlocks })) return
      const id = halfMade ?? (await this.#create())
      await this.#map(id)
      this.#held.add(id)
    }
  }

  async #create(): Promise<number> {
    for (;;) {
      const id = randomSpareId()
      if (this.#held.has(id) || this.#others.includes(id)) continue
      await recordMaking(this.#context, id)
      try {
        await createThin(this.#context, { id }, undefined, false)
        return id
      } catch (fault) {
        await forgetMaking(this.#context)
        if (!(fault instanceof DmThinError) || fault.errno !== ERRNO.EEXIST) throw fault
      }
    }
  }

  /** Writes the block of a spare. The write waits on a thread of its own if the pool becomes full. */
  async #map(id: number): Promise<void> {
    const { port, name, dataBlockBytes, number } = this.#context
    const block = markBlock(dataBlockBytes)
    const lengthSectors = sectors((block + 1) * dataBlockBytes)
    const table = [{ startSectors: 0, ...thin({ lengthSectors, poolDevice: number, id }) }]
    const uuid = spareUuidPrefix(this.#context) + id
    const request = { name: `${name}-${id}`, uuid, table, thinId: id, guard: activationGuard(this.#context, false) }
    // Aborted, because the end of keeping has the lock while it waits for this. Then the volume is deleted without a block.
    const signal = this.#signal
    const { device } = await withSharedLock(this.#context, signal, () => port.activate(request, signal))
    try {
      await port.zeroBlocks(nodePath(device), [(block * dataBlockBytes) / PAGE_BYTES], PAGE_BYTES)
    } finally {
      await port.deactivate(removalGuard(this.#context, false), { address: { uuid }, thinId: id }, 1_000)
    }
    await forgetMaking(this.#context)
  }
}
