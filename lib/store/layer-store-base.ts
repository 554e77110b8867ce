// An open store as such: its end, and keeping it in order. What it is for is in layer-store.ts.
import { Pending } from '../base/pending.js'
import type { GrowOptions } from '../pool/lifecycle/grow.js'
import type { PoolStatus } from '../pool/state/status.js'
import type { RemovedPool } from '../pool/lifecycle/remove.js'
import { checkBoolean, checkOptions, type SignalOption, checkNumber } from '../base/options.js'
import type { StoreFinding } from './common/findings.js'
import { allocateMetadata } from './open/allocate-metadata.js'
import { checkKey, type PoolPlace } from './common/options.js'
import { prunable, type PruneOptions } from './layers/prune.js'
import type { StuckRemoval } from './engine/removal-queue.js'
import { step } from './common/step-channel.js'
import { spaceOf, type LayerSpace } from './layers/space.js'
import { closeStore, finishWork, refuseOthers } from './open/close-store.js'
import type { OpenStore } from './open/open-store.js'
import type { LayerInfo } from './common/types.js'
import { repair, type RepairOptions } from './recovery/repair.js'
import { verify } from './recovery/verify.js'

/** More would be a mistake: each is a device of the kernel's. */
const MOST_WARM = 1_000

/** The state of a store and of its pool. */
export interface StoreStatus {
  readonly pool: PoolStatus
  /** Layers that have a key. */
  readonly layers: number
  /** Volumes of removed layers that this object has still to take away. */
  readonly removing: number
  /** By parent: how many of its warm set are ready. */
  readonly warm: Readonly<Record<string, number>>
}

export abstract class LayerStoreBase {
  /** @internal */
  protected readonly store: OpenStore
  readonly #pending: Pending
  /** The inconsistencies that `open` found, and what it did. */
  readonly findings: readonly StoreFinding[]

  /** @internal */
  protected constructor(store: OpenStore, findings: readonly StoreFinding[]) {
    this.store = store
    this.#pending = new Pending(`the store in ${store.directory}`)
    this.findings = findings
  }

  /** The directory, as an absolute path. */
  get directory(): string {
    return this.store.directory
  }

  /** Name of the pool's mapped device. */
  get poolName(): string {
    return this.store.pool.name
  }

  /**
   * Keeps `count` layers on top of a committed one ready, 0 to 1000: made, active, on the disk, and without a name. A
   * `prepare` with this parent and no size of its own takes one, and another is made in the background. Resolves when
   * they are there; the background stops at the first that cannot be made, until the next is taken. 0 gives them up, as
   * closing does. They are of this object alone.
   *
   * Rejects with whatever `prepare` rejects with.
   */
  async warm(parent: string, count: number): Promise<void> {
    checkKey('parent', parent)
    checkNumber('count', count, { min: 0, max: MOST_WARM })
    await this.run(() => this.store.warm.keep(parent, count))
  }

  /** Waits until what was removed is gone from the pool too. Gives what cannot go yet, and who has it. */
  async cleanup(): Promise<StuckRemoval[]> {
    return this.run(() => this.store.removals.drain())
  }

  /** How full the pool is and in which mode, and what this object is at. */
  async status(options: SignalOption = {}): Promise<StoreStatus> {
    checkOptions(options, ['signal'], 'status')
    return this.run(async () => ({
      pool: await this.store.pool.status(options),
      layers: this.store.records.count(),
      removing: this.store.removals.size,
      warm: this.store.warm.sizes(),
    }))
  }

  /**
   * Makes the pool larger while it runs: see `ThinPool.grow`, which says what this rejects with. A metadata file has its
   * space allocated, so that the file system below it cannot run out of it later (`DM_POOL_FULL` where it has none).
   */
  async grow(options: GrowOptions): Promise<void> {
    await this.run(async () => {
      step('grow.pool', '')
      await this.store.pool.grow(options)
      step('grow.allocate', '')
      const { metadata } = JSON.parse(this.store.records.get('pool')!) as PoolPlace
      if (options.metadataBytes !== undefined) await allocateMetadata(metadata)
    })
  }

  /**
   * Removes committed layers that nobody needs, the oldest first: those on which no active layer and no view stands, and
   * neither `keep` nor the label `dm-thin/keep` nor `dm-thin/keep-until` (a time, as `2030-01-01T00:00:00Z`) of a layer
   * above them. Gives what it removed, or would. Empty file systems of other sizes than `sizeBytes` of `open`, on which
   * nothing stands any more, go too.
   */
  async prune(options: PruneOptions = {}): Promise<LayerInfo[]> {
    return this.run(async () => {
      const free = await prunable(this.store, options)
      if (options.dryRun) return free
      const gone: LayerInfo[] = []
      for (const info of free) if (await this.removeUnused(info.key)) gone.push(info)
      await this.store.bases.removeUnused()
      return gone
    })
  }

  /**
   * Blocks of each layer that only it has, and that others have too, in bytes, counted in the pool's metadata as of its
   * last commit. Time grows with the blocks of all. `DM_METADATA_BUSY`.
   */
  async space(options: SignalOption = {}): Promise<LayerSpace[]> {
    checkOptions(options, ['signal'], 'space')
    return this.run(() => spaceOf(this.store, options.signal))
  }

  /** Looks for every disagreement between the records, the pool and the kernel's devices. Changes nothing. */
  async verify(): Promise<StoreFinding[]> {
    return this.run(() => verify(this.store))
  }

  /**
   * Repairs what is safe to repair: what dead processes began is ended and unmounted, records of layers whose volume is lost
   * and on which nothing stands are deleted, loop devices that leaked are detached; with `deleteRetired`, volumes that the
   * store knows nothing of are deleted. Nothing is deleted while the pool is older than the records, unless `acceptPool`
   * says that it is right. Gives everything that it found, with what it did.
   */
  async repair(options: RepairOptions = {}): Promise<StoreFinding[]> {
    checkOptions(options, ['dryRun', 'deleteRetired', 'acceptPool'], 'repair')
    checkBoolean('dryRun', options.dryRun)
    checkBoolean('deleteRetired', options.deleteRetired)
    checkBoolean('acceptPool', options.acceptPool)
    return this.run(() => repair(this.store, options))
  }

  /** Waits for the calls under way and lets nothing new in. Layers, devices, mounts and the pool stay. Idempotent. */
  async close(): Promise<void> {
    await this.#pending.close(() => closeStore(this.store))
  }

  /** Calls `close()`: for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /**
   * `close()`, and takes the pool down: no device of it is left, and everything comes back by `open`. Nobody else may
   * have the store open. Gives what it took. Rejects with `DM_BUSY` (another object has the store open; a layer is mounted, see
   * `holders`): the store is
   * closed then, and the pool stays.
   */
  async takeDown(): Promise<RemovedPool> {
    let removed: RemovedPool | undefined
    await this.#pending.close(async () => {
      await finishWork(this.store)
      await refuseOthers(this.store).catch(async (fault: unknown) => {
        await closeStore(this.store)
        throw fault
      })
      removed = await this.store.pool.remove({ deactivate: true }).finally(() => closeStore(this.store))
    })
    return removed ?? { pool: this.poolName, volumes: [], loops: [], files: [] }
  }

  /** Removes a layer if nobody has taken it up meanwhile. */
  protected abstract removeUnused(key: string): Promise<boolean>

  /** @internal Runs a call that `close()` waits for. */
  protected run<T>(body: () => Promise<T>): Promise<T> {
    return this.#pending.run(body)
  }

  /** @internal `run`, when no other call of these layers runs. */
  protected alone<T>(keys: readonly string[], body: () => Promise<T>): Promise<T> {
    return this.run(() => this.store.locks.run(keys, body))
  }
}
