// The base class of `LayerStore`: status, maintenance and closing of an open store. Calls on layers are in layer-store.ts.
import { Pending } from '../base/pending.js'
import type { GrowOptions } from '../pool/lifecycle/grow.js'
import type { PoolMetrics } from '../pool/metrics.js'
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

/** The limit of `warm`. Each warm layer is a mapped device of the kernel, so that a larger number is probably a mistake. */
const MAX_WARM = 1_000

/** The state of a store and of its pool. */
export interface StoreStatus {
  /** The status of the store's pool, as `ThinPool.status` returns it. */
  readonly pool: PoolStatus
  /** The number of layers that have a key. */
  readonly layers: number
  /** The number of volumes of removed layers that this object has not deleted yet. */
  readonly removing: number
  /** The number of warm layers that are ready, by parent. */
  readonly warm: Readonly<Record<string, number>>
}

/** The numbers of a store and of its pool for a monitor. */
export interface StoreMetrics extends PoolMetrics {
  /** Number of layers that have a key. */
  readonly layers: number
  /** Number of volumes of removed layers that this object has not deleted yet. */
  readonly removing: number
  /** Number of warm layers of this object that are ready. */
  readonly warm: number
}

/** The part of `LayerStore` that does not depend on single layers. */
export abstract class LayerStoreBase {
  /** @internal */
  protected readonly store: OpenStore
  readonly #pending: Pending
  /** The inconsistencies that `open` found, and the actions that it took. */
  readonly findings: readonly StoreFinding[]

  /** @internal */
  protected constructor(store: OpenStore, findings: readonly StoreFinding[]) {
    this.store = store
    this.#pending = new Pending(`the store in ${store.directory}`)
    this.findings = findings
  }

  /** The directory of the store, as an absolute path. */
  get directory(): string {
    return this.store.directory
  }

  /** The name of the pool's mapped device. */
  get poolName(): string {
    return this.store.pool.name
  }

  /**
   * Keeps `count` warm layers of a committed layer ready, 0 to 1000. A warm layer is an active layer without a key, whose
   * snapshot is committed to disk. `prepare` takes one if it is called with this parent and without `sizeBytes`,
   * `fileSystem` and `raw`, and another is created in the background. Resolves when `count` warm layers are ready. If one
   * cannot be created, the background work stops until the next warm layer is taken. A `count` of 0 removes the warm
   * layers, as `close` does. Warm layers belong to this object only.
   *
   * Rejects with the codes of `prepare`.
   */
  async warm(parent: string, count: number): Promise<void> {
    checkKey('parent', parent)
    checkNumber('count', count, { min: 0, max: MAX_WARM })
    await this.run(() => this.store.warm.keep(parent, count))
  }

  /**
   * Waits until the volumes of removed layers are deleted from the pool. Returns those that cannot be deleted yet, with
   * their holders.
   */
  async cleanup(): Promise<StuckRemoval[]> {
    return this.run(() => this.store.removals.drain())
  }

  /** Returns the usage and mode of the pool, and the numbers of layers, of removals in progress and of warm layers. */
  async status(options: SignalOption = {}): Promise<StoreStatus> {
    checkOptions(options, ['signal'], 'status')
    return this.run(async () => ({
      pool: await this.store.pool.status(options),
      layers: this.store.records.count(),
      removing: this.store.removals.size,
      warm: this.store.warm.sizes(),
    }))
  }

  /** Returns the numbers of the store and of its pool for a monitor, with one call. Rejects as `status` does. */
  async metrics(options: SignalOption = {}): Promise<StoreMetrics> {
    checkOptions(options, ['signal'], 'metrics')
    const { pool, records, removals, warm } = this.store
    return this.run(async () => ({
      ...(await pool.metrics(options)),
      layers: records.count(),
      removing: removals.size,
      warm: Object.values(warm.sizes()).reduce((sum, ready) => sum + ready, 0),
    }))
  }

  /**
   * Grows the pool while it runs. Rejects with the codes of `ThinPool.grow`. The space of a metadata file is allocated, so
   * that the file system below it cannot run out of space later; rejects with `DM_POOL_FULL` if there is not enough space.
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
   * Removes committed layers that are not needed, the oldest first. A layer is needed if an active layer or a view has it
   * as an ancestor. It is also needed if `keep` names it or a layer above it, or if one of these has the label
   * `dm-thin/keep`, or the label `dm-thin/keep-until` with a time in the future, such as `2030-01-01T00:00:00Z`. Returns
   * the layers that were removed, or would be removed with `dryRun`. Also removes base volumes that no layer uses and
   * whose size or type is not that of `open`.
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
   * Returns the exclusive and the shared blocks of each layer, in bytes, counted in the pool's metadata as of its last
   * commit. The time is proportional to the number of blocks of all layers. Rejects with `DM_METADATA_BUSY`.
   */
  async space(options: SignalOption = {}): Promise<LayerSpace[]> {
    checkOptions(options, ['signal'], 'space')
    return this.run(() => spaceOf(this.store, options.signal))
  }

  /** Returns all inconsistencies between the records, the pool and the kernel's devices. Changes nothing. */
  async verify(): Promise<StoreFinding[]> {
    return this.run(() => verify(this.store))
  }

  /**
   * Repairs the inconsistencies that are safe to repair. Unfinished calls of dead processes are ended, and their mounts are
   * unmounted. Records of layers whose volume is lost and that have no children are deleted. Leaked loop devices are
   * detached. With `deleteRetired`, volumes without a record are deleted. Nothing is deleted while the pool is older than
   * the records, unless `acceptPool` confirms the pool. Returns everything that was found, with the actions that were taken.
   */
  async repair(options: RepairOptions = {}): Promise<StoreFinding[]> {
    checkOptions(options, ['dryRun', 'deleteRetired', 'acceptPool'], 'repair')
    checkBoolean('dryRun', options.dryRun)
    checkBoolean('deleteRetired', options.deleteRetired)
    checkBoolean('acceptPool', options.acceptPool)
    return this.run(() => repair(this.store, options))
  }

  /** Waits for the calls in progress and rejects new ones. Layers, devices, mounts and the pool stay. Idempotent. */
  async close(): Promise<void> {
    await this.#pending.close(() => closeStore(this.store))
  }

  /** Calls `close()`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /**
   * Closes the store and removes all mapped devices of its pool. The next `open` starts the pool again, with all its
   * layers. Returns the names of the devices that were removed. Rejects with `DM_BUSY` if another object has the store open, or if a
   * layer is mounted (see `holders`); in that case the store is closed and the pool stays.
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

  /** Removes a layer unless it has been removed, or taken into use, concurrently. Returns whether it was removed. */
  protected abstract removeUnused(key: string): Promise<boolean>

  /** @internal Runs a call that `close()` waits for. */
  protected run<T>(body: () => Promise<T>): Promise<T> {
    return this.#pending.run(body)
  }

  /** @internal Runs a call that `close()` waits for, while no other call of this object on these layers runs. */
  protected alone<T>(keys: readonly string[], body: () => Promise<T>): Promise<T> {
    return this.run(() => this.store.locks.run(keys, body))
  }
}
