// The pool class, the entry point of the library.
import { BUSY_RETRY_MS } from '../kernel/port/device-port.js'
import { deviceMinor } from '../base/device-number.js'
import { checkBoolean, checkNumber, checkOptions, type SignalOption } from '../base/options.js'
import { activateRecorded, checkActivate } from './activate-recorded.js'
import type { PoolCheck } from './check/pool-states.js'
import { checkKeepOptions, type KeepOptions } from './keeper/keep-options.js'
import { Keeper } from './keeper/keeper.js'
import type { Finding } from './lifecycle/crash-recovery.js'
import { checkGrowOptions, growAlone, type GrowOptions } from './lifecycle/grow.js'
import type { CreatePoolOptions, OpenPoolOptions } from './lifecycle/pool-options.js'
import { checkRemoveOptions, removePool, type RemovedPool, type RemovePoolOptions } from './lifecycle/remove.js'
import { makePool, takeUpPool, type TakenUp } from './lifecycle/take-up.js'
import { readUsage } from './metadata-read/live-volumes.js'
import {
  releaseMetadataSnapshot,
  reserveMetadataSnapshot,
  type MetadataSnapshot,
} from './metadata-read/metadata-snapshot.js'
import { readMetrics, type PoolMetrics } from './metrics.js'
import { watchPool, type PoolWatch } from './pool-events.js'
import { checkDepth, checkPool, checkRunning } from './repair/check-pool.js'
import { repairMetadata, type Repair } from './repair/repair-metadata.js'
import {
  ofRunning,
  type CheckPoolOptions,
  type RepairOptions,
  type RepairPoolOptions,
} from './repair/repair-options.js'
import { commitPool } from './state/commit-point.js'
import type { PoolContext } from './state/context.js'
import { withPoolLock, type PoolLock } from './state/locks.js'
import {
  readPoolSpace,
  readPoolStatus,
  type PoolSpace,
  type PoolStatus,
  type VolumeStatus,
  type VolumeUsage,
} from './state/status.js'
import { checkThinId } from './state/thin-ids.js'
import { checkTransactionIds, setTransactionId, type SetTransactionIdOptions } from './state/transaction-id.js'
import type { ManyOptions, VolumeResult } from './volume/batch.js'
import { activateMany, checkWanted, deactivateMany, deleteMany, snapshotMany, statusMany } from './volume/bulk.js'
import { checkCreateVolume, createVolume } from './volume/create-volume.js'
import { checkFindVolume, findVolume, findVolumes } from './volume/find-volume.js'
import { forkVolume } from './volume/fork.js'
import type { ThinVolume } from './volume/thin-volume.js'
import {
  type ActivateOptions,
  type CreateVolumeOptions,
  type DeactivateOptions,
  type FindVolumeOptions,
} from './volume/volume-options.js'

/** The result of `ThinPool.repair`. */
export interface RepairedPool extends Repair {
  /** The pool, which runs with the repaired metadata. */
  readonly pool: ThinPool
}

/** A thin pool: two devices, for data and for metadata, from which thin volumes take their blocks. */
export class ThinPool {
  /** @internal */
  readonly context: PoolContext
  readonly #findings: readonly Finding[]
  readonly #watches = new Set<PoolWatch>()
  readonly #keepers = new Set<Keeper>()

  private constructor({ context, findings }: TakenUp) {
    this.context = context
    this.#findings = findings
  }

  /**
   * Creates a pool. A missing file is created sparse. Each file is attached to a loop device that exists as long as the
   * pool does. By default the metadata device must be blank and the data device must have no signature;
   * `format: 'overwrite'` discards the contents of both. If a step fails, the completed steps are rolled back until a
   * rollback step fails; the error's `rollback` lists the steps and their results. Waits while another call creates,
   * opens, grows or removes a pool of this name, or a pool on these files or devices.
   *
   * Rejects with `DM_NAME_TAKEN`, `DM_METADATA_NOT_BLANK`, `DM_SIGNATURE_FOUND`, `DM_FILE_SIZE`, `DM_FILE_NO_HOLES`,
   * `DM_FILE_ATTACHED`, `DM_FILE_MISSING`, `DM_BUSY` (a device is in use), `DM_TABLE_REFUSED`, `DM_UNAVAILABLE`,
   * `DM_PERMISSION`, `DM_INVALID_ARGUMENT`, `ABORT_ERR`.
   */
  static async create(options: CreatePoolOptions): Promise<ThinPool> {
    return new ThinPool(await makePool(options))
  }

  /**
   * Opens an existing pool. With a name alone, attaches to the running pool of that name. With `data` and `metadata`,
   * starts the pool if it is not running; if it is running, each option that is given must match it. Never formats.
   * Repairs what a crashed process left behind and reports it in `findings`; devices of other programs are only
   * reported. Waits for other calls as `create` does.
   *
   * Rejects with `DM_NOT_FOUND`, `DM_NOT_A_POOL`, `DM_POOL_MISMATCH`, `DM_METADATA_BLANK`, `DM_METADATA_CORRUPT`,
   * `DM_POOL_FAILED`, `DM_CHECK_FAILED`, `DM_FILE_MISSING`, `DM_FILE_SIZE`, `DM_BUSY`, `DM_UNAVAILABLE`,
   * `DM_PERMISSION`, `ABORT_ERR`.
   */
  static async open(nameOrOptions: string | OpenPoolOptions): Promise<ThinPool> {
    const options = typeof nameOrOptions === 'string' ? { name: nameOrOptions } : nameOrOptions
    const wanted = checkActivate(options)
    const { context, findings } = await takeUpPool(options)
    const inactive = wanted === undefined ? [] : await activateRecorded(context, wanted, options.signal)
    return new ThinPool({ context, findings: [...findings, ...inactive] })
  }

  /**
   * Checks the metadata of a pool, whether it runs or not, by `thin_check`, a child process, unless `depth` is `'quick'`.
   * Of a running pool it reads a metadata snapshot. Returns the state and the call that resolves it. See docs/repair.md.
   *
   * Rejects with `DM_NOT_FOUND`, `DM_FILE_MISSING`, `DM_BUSY` (the metadata is in use), `DM_DEPENDENCY`,
   * `DM_CHECK_FAILED` (`thin_check` was killed), `DM_METADATA_SNAPSHOT_HELD`, `DM_UNSUPPORTED` (a pool in memory).
   */
  static async check(nameOrOptions: string | CheckPoolOptions): Promise<PoolCheck> {
    return checkPool(typeof nameOrOptions === 'string' ? { name: nameOrOptions } : nameOrOptions)
  }

  /**
   * Repairs the metadata of a pool and opens the pool. Removes a running pool first. Runs `thin_check`, and `thin_restore`
   * or `thin_repair`, as child processes. Rebuilt metadata is in a new file, which takes the place of the original when
   * it is complete and `thin_check` accepts it; or on the block device `to`. The original is kept. If the call rejects,
   * the pool does not run, and the original is in its place. See docs/repair.md.
   *
   * Rejects with `DM_REPAIR_FAILED`, `DM_POOL_IN_USE` (active volumes), `DM_POOL_MISMATCH` and `DM_METADATA_BLANK` (no
   * program can repair it), `DM_METADATA_NOT_BLANK` (`to` is not blank), `DM_DEPENDENCY`, `DM_BUSY`, `DM_NOT_FOUND`,
   * `DM_FILE_MISSING`, `DM_UNSUPPORTED` (a pool in memory), `DM_INVALID_ARGUMENT`, `ABORT_ERR`, and like `open`.
   */
  static async repair(options: RepairPoolOptions): Promise<RepairedPool> {
    const { repair, open } = await repairMetadata(options)
    return { ...repair, pool: await ThinPool.open(open) }
  }

  /** Name of the pool's mapped device. */
  get name(): string {
    return this.context.name
  }

  /** `/dev/dm-N` of the pool's own mapped device. It is not for reading or writing. */
  get path(): string {
    return `/dev/dm-${deviceMinor(this.context.device)}`
  }

  /** The data block size in bytes: the amount that a write to a shared block copies. */
  get dataBlockBytes(): number {
    return this.context.dataBlockBytes
  }

  /**
   * The findings of `open`: the repairs that it made and the inconsistencies that it left to the caller. Empty after
   * `create`, and if nothing was found.
   */
  get findings(): readonly Finding[] {
    return this.#findings
  }

  /**
   * Returns the mode, the space and every other field of the kernel's status line, and the number of snapshots that the
   * pool can still take in its life, which the kernel does not report. Does not commit the pool (NOFLUSH). Rejects with
   * `DM_NOT_FOUND` if the pool was removed by other means than this object.
   */
  async status(options: SignalOption = {}): Promise<PoolStatus> {
    checkOptions(options, ['signal'], 'status')
    return this.#run(() => readPoolStatus(this.context, options.signal))
  }

  /** @internal Returns the space of `status()` with one call of the kernel; undefined if the pool has failed. */
  async space(signal?: AbortSignal): Promise<PoolSpace | undefined> {
    return this.#run(() => readPoolSpace(this.context, signal))
  }

  /**
   * Creates an empty, inactive volume. Rejects with `DM_VOLUME_EXISTS` (a given id is in use), `DM_POOL_RESERVE`,
   * `DM_POOL_READ_ONLY`, `DM_POOL_FULL`, `DM_POOL_FAILED`, `DM_NOT_COMMITTED` (the pool accepted the volume and could not
   * commit it),
   * `DM_INVALID_ARGUMENT`.
   */
  async createVolume(options: CreateVolumeOptions): Promise<ThinVolume> {
    const plan = checkCreateVolume(options)
    return this.#run(() => createVolume(this.context, plan))
  }

  /**
   * Returns the volume with this id, active or inactive. Rejects with `DM_VOLUME_NOT_FOUND` if the pool does not have
   * it. The pool stores neither sizes nor external origins: without a `record`, an inactive volume needs its
   * `sizeBytes` and its `externalOrigin`, if it has one, here or at `activate()`.
   */
  async volume(id: number, options: FindVolumeOptions = {}): Promise<ThinVolume> {
    checkThinId(id)
    const { given, looks } = checkFindVolume(options)
    return this.#run(() => findVolume(this.context, id, given, looks, options.signal))
  }

  /**
   * Returns all volumes of the pool by ascending id, read from its metadata. Volumes that are active are marked as
   * such. Names, sizes and origins are known if the pool has a `record`. Rejects with `DM_NOT_FOUND`, `DM_POOL_FAILED`,
   * `DM_METADATA_BUSY`.
   */
  async volumes(options: SignalOption = {}): Promise<ThinVolume[]> {
    checkOptions(options, ['signal'], 'volumes')
    return this.#run(() => findVolumes(this.context, options.signal))
  }

  /**
   * Returns the exclusive and shared blocks of each volume, counted in the pool's metadata as of its last commit. The
   * pool keeps running. The time grows with the number of mappings. Rejects with `DM_METADATA_BUSY` if the pool commits
   * faster than its metadata can be read.
   */
  async usage(options: SignalOption = {}): Promise<VolumeUsage[]> {
    checkOptions(options, ['signal'], 'usage')
    return this.#run(() => readUsage(this.context, options.signal))
  }

  /**
   * Creates snapshots of one volume: `wanted` is their number, or the list of their ids. Suspends an active origin once
   * for every 32 snapshots, so that its I/O is held back only briefly; those 32 have the same content. Returns a result
   * for each; `volumesOf` extracts the volumes. Rejects as a whole, and leaves no snapshot behind, with
   * `DM_POOL_RESERVE`, with `DM_POOL_WORN` if the pool cannot take that many more snapshots, if the origin could not be
   * suspended or resumed for the first 32, and if the call was aborted before that. If the call is aborted later, the
   * results of the remaining snapshots are rejected with `ABORT_ERR`.
   */
  async snapshotMany(
    origin: ThinVolume,
    wanted: number | readonly number[],
    options: SignalOption = {},
  ): Promise<VolumeResult[]> {
    checkOptions(options, ['signal'], 'snapshotMany')
    checkWanted(wanted)
    return this.#run(() => snapshotMany(this.context, origin, wanted, options.signal))
  }

  /**
   * Forks a volume: returns active snapshots of it, all with the content of one point in time, or none. `wanted` is their
   * number, or the list of their ids. Suspends an active origin once, whatever the number. If a snapshot or an activation
   * fails, deactivates and deletes those that were made; the error's `rollback` lists these steps. Reports progress as
   * `activateMany` does.
   *
   * Rejects with the codes of `ThinVolume.snapshot` and `ThinVolume.activate`, and with `ABORT_ERR`.
   */
  async fork(origin: ThinVolume, wanted: number | readonly number[], options: ManyOptions = {}): Promise<ThinVolume[]> {
    checkOptions(options, ['onProgress', 'signal'], 'fork')
    checkWanted(wanted)
    return this.#run(() => forkVolume(this.context, origin, wanted, options))
  }

  /**
   * Activates all volumes concurrently; the kernel's waits overlap. Returns a result for each, in the order given, with
   * the error of `ThinVolume.activate`. Rejects as a whole with `DM_INVALID_ARGUMENT` if one is not a volume of this
   * pool.
   */
  async activateMany(
    volumes: readonly ThinVolume[],
    options: ManyOptions & Pick<ActivateOptions, 'readOnly'> = {},
  ): Promise<VolumeResult[]> {
    checkOptions(options, ['readOnly', 'onProgress', 'signal'], 'activateMany')
    const readOnly = checkBoolean('readOnly', options.readOnly)
    return this.#run(() => activateMany(this.context, volumes, options, readOnly))
  }

  /**
   * Deactivates all volumes concurrently. Returns a result for each, in the order given, with the error of
   * `ThinVolume.deactivate`. Rejects as a whole with `DM_INVALID_ARGUMENT` if one is not a volume of this pool.
   */
  async deactivateMany(
    volumes: readonly ThinVolume[],
    options: ManyOptions & Pick<DeactivateOptions, 'timeoutMs'> = {},
  ): Promise<VolumeResult[]> {
    checkOptions(options, ['timeoutMs', 'onProgress', 'signal'], 'deactivateMany')
    const limitMs = checkNumber('timeoutMs', options.timeoutMs ?? BUSY_RETRY_MS, { min: 0 })
    return this.#run(() => deactivateMany(this.context, volumes, options, limitMs))
  }

  /**
   * Deletes all volumes, which must be inactive, in batches of 64. Reports progress after each batch. Returns a result
   * for each, in the order given, with the error of `ThinVolume.delete`. Rejects as a whole with `DM_INVALID_ARGUMENT`
   * if one is not a volume of this pool.
   */
  async deleteMany(volumes: readonly ThinVolume[], options: ManyOptions = {}): Promise<VolumeResult[]> {
    checkOptions(options, ['onProgress', 'signal'], 'deleteMany')
    return this.#run(() => deleteMany(this.context, volumes, options))
  }

  /**
   * Returns the status of all volumes, with one native call: a result for each, in the order given, with the error of
   * `ThinVolume.status`. Rejects as a whole with `DM_INVALID_ARGUMENT` if one is not a volume of this pool.
   */
  async statusMany(volumes: readonly ThinVolume[], options: SignalOption = {}): Promise<VolumeResult<VolumeStatus>[]> {
    checkOptions(options, ['signal'], 'statusMany')
    return this.#run(() => statusMany(this.context, volumes, options.signal))
  }

  /**
   * Returns a watch of the pool's events: low on data or metadata, a change of mode, a needed check, failure, removal.
   * Events count from the time at which the watch's `ready` resolves; conditions that hold already are reported first,
   * marked `initial`. Read the watch with `for await`, or listen to `change`. It does not poll: the status is read when
   * the kernel raises an event. The watch ends with the signal, with `close()` of the watch or the pool, and after
   * `removed`. Unread events of one type are merged into the latest.
   */
  events(options: SignalOption = {}): PoolWatch {
    checkOptions(options, ['signal'], 'events')
    this.context.pending.check()
    const watch = watchPool(this.context, options.signal)
    this.#watches.add(watch)
    watch.once('close', () => this.#watches.delete(watch))
    return watch
  }

  /**
   * Grows the pool while it runs; writers that wait for space continue. Files grow with it; block devices must have
   * been grown before. Pools never shrink. Rejects with `DM_INVALID_ARGUMENT`, `DM_POOL_READ_ONLY` (also if its
   * metadata needs a check), `DM_POOL_FAILED`, `DM_POOL_SUSPENDED` (a reload would resume it), `DM_FILE_MISSING` (the
   * path of a file below the pool now leads to another file).
   */
  async grow(options: GrowOptions): Promise<void> {
    const sizes = checkGrowOptions(options)
    await this.#run(() => growAlone(this.context, options.signal, () => Promise.resolve(sizes)))
  }

  /**
   * Starts a keeper, which grows data and metadata before they are full: files by itself, block devices by a hook.
   * While a keeper is active, writers of a full pool wait; without one, they get an error immediately. Of all keepers of
   * a pool, in any process, one is active, and another takes over when it ends or is killed. Resolves when this keeper
   * is active or waits for another. See docs/space.md.
   *
   * Rejects with `DM_INVALID_ARGUMENT` (a block device without a hook), `DM_POOL_FAILED`, `DM_POOL_SUSPENDED`,
   * `DM_RECORD`, `DM_KERNEL` (/run is not writable), `ABORT_ERR`.
   */
  async keep(options: KeepOptions = {}): Promise<Keeper> {
    const plan = checkKeepOptions(options)
    return this.#run(async () => {
      const keeper = await Keeper.start(this.context, plan, options.signal)
      this.#keepers.add(keeper)
      void keeper.ended.then(() => this.#keepers.delete(keeper))
      return keeper
    })
  }

  /**
   * Returns the numbers of the pool for a monitor, with one call: space, volumes, snapshots left, mode, and the waits and
   * growths that the keepers of this object have counted. Does not commit the pool. Rejects as `status` does.
   */
  async metrics(options: SignalOption = {}): Promise<PoolMetrics> {
    checkOptions(options, ['signal'], 'metrics')
    return this.#run(() => readMetrics(this.context, options.signal))
  }

  /**
   * Commits the pool's metadata and verifies the commit. When this resolves, every earlier change of the pool is on
   * disk, including changes made with `durability: 'lazy'`. Rejects with `DM_NOT_COMMITTED` if the pool could not
   * commit: changes after its last commit are lost. Also rejects with `DM_NOT_FOUND`, `ABORT_ERR`.
   */
  async commit(options: SignalOption = {}): Promise<void> {
    checkOptions(options, ['signal'], 'commit')
    await this.#run(() => commitPool(this.context, options.signal))
  }

  /**
   * Sets the pool's transaction id, a number for the caller's own bookkeeping, if its present value is `currentId`.
   * Otherwise rejects with `DM_TRANSACTION_MISMATCH`, with the present value as `detail`. When this resolves, the id
   * and every earlier change of the pool are on disk. Rejects with `DM_NOT_COMMITTED`, `DM_POOL_READ_ONLY`,
   * `DM_POOL_FAILED`.
   */
  async setTransactionId(options: SetTransactionIdOptions): Promise<void> {
    const ids = checkTransactionIds(options)
    await this.#run(() => setTransactionId(this.context, ids, options.signal))
  }

  /**
   * Reserves a metadata snapshot: the metadata in its present state, for programs that read it while the pool runs
   * (`thin_dump --metadata-snap`, `thin_ls`). A pool has at most one. While it is held, no data block that it refers to
   * is freed. It is held until it is released, even after this process ends or the pool is removed.
   *
   * Rejects with `DM_METADATA_SNAPSHOT_HELD`, `DM_NOT_COMMITTED`, `DM_POOL_READ_ONLY`, `DM_POOL_FAILED`.
   */
  async reserveMetadataSnapshot(options: SignalOption = {}): Promise<MetadataSnapshot> {
    checkOptions(options, ['signal'], 'reserveMetadataSnapshot')
    return this.#run(() => reserveMetadataSnapshot(this.context, options.signal))
  }

  /**
   * Releases the metadata snapshot, whoever reserved it. Rejects with `DM_METADATA_SNAPSHOT_NOT_HELD` if there is none.
   */
  async releaseMetadataSnapshot(options: SignalOption = {}): Promise<void> {
    checkOptions(options, ['signal'], 'releaseMetadataSnapshot')
    await this.#run(() => releaseMetadataSnapshot(this.context, undefined, options.signal))
  }

  /** Checks the metadata of this running pool, and rejects, as `ThinPool.check` does. */
  async check(options: Pick<CheckPoolOptions, 'depth' | 'signal'> = {}): Promise<PoolCheck> {
    checkOptions(options, ['depth', 'signal'], 'check')
    const depth = checkDepth(options.depth)
    return this.#run(() => checkRunning(this.context, depth, options.signal))
  }

  /** Repairs the metadata of this pool as `ThinPool.repair` does. Closes this object, also if the call rejects. */
  async repair(options: RepairOptions = {}): Promise<RepairedPool> {
    const wanted = ofRunning(this.context, options)
    await this.close()
    return ThinPool.repair(wanted)
  }

  /**
   * Removes the pool's mapped device, the loop devices that were attached for it, and whatever else the options name.
   * The volumes remain on the files or devices, unless `deleteFiles` is set. With a `record`, commits the pool first, so
   * that bookmarks stay valid. Returns what it removed. Closes this object.
   *
   * Rejects with `DM_POOL_IN_USE` (active volumes), `DM_BUSY` (with the holders that could be found), `DM_NOT_FOUND`
   * (the pool was removed before; a new pool of that name is not touched).
   */
  async remove(options: RemovePoolOptions = {}): Promise<RemovedPool> {
    const plan = checkRemoveOptions(options)
    const removed = await this.#run(() =>
      this.#alone(options.signal, async lock => {
        const taken = await removePool(this.context, plan, lock)
        const { port, record } = this.context
        if (plan.deleteFiles && record) await port.deleteFile(record.file)
        return taken
      }),
    )
    await this.close()
    return removed
  }

  /**
   * Rejects new calls, waits for those in progress, and stops the keepers of this object. The pool, its volumes and its
   * devices stay. Idempotent.
   */
  async close(): Promise<void> {
    for (const watch of this.#watches) watch.close()
    // The keepers are last: a call in progress may start one, or may wait for the space that one adds.
    await this.context.pending.close(async () => {
      await Promise.all([...this.#keepers].map(keeper => keeper.stop()))
    })
  }

  /** Calls `close()`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Runs a call that `close()` waits for. */
  #run<T>(body: () => Promise<T>): Promise<T> {
    return this.context.pending.run(body)
  }

  #alone<T>(signal: AbortSignal | undefined, body: (lock: PoolLock) => Promise<T>): Promise<T> {
    return withPoolLock(this.context.port, this.name, signal, body)
  }
}
