// The pool: what users meet first.
import { deviceMinor } from '../base/device-number.js'
import { thinUsage } from '../metadata/reader.js'
import { checkBoolean, checkName, checkOptions, type SignalOption, checkNumber, invalid } from '../base/options.js'
import { message } from '../target/messages.js'
import { MAX_THIN_ID, SECTOR_BYTES } from '../base/units.js'
import type { ManyOptions, VolumeResult } from './volume/batch.js'
import { changePool, commitPool } from './state/commit-point.js'
import { explained } from './state/explain-error.js'
import { readMetadata } from './state/live-metadata.js'
import type { PoolContext } from './state/context.js'
import { originPath } from './volume/external-origin.js'
import { findVolume, findVolumes } from './volume/find-volume.js'
import { growPool, type GrowOptions } from './lifecycle/grow.js'
import { withPoolLock, type PoolLock } from './state/locks.js'
import { activateMany, deactivateMany, deleteMany, snapshotMany, statusMany } from './volume/bulk.js'
import type { Finding } from './lifecycle/repair.js'
import { releaseMetadataSnapshot, reserveMetadataSnapshot, type MetadataSnapshot } from './metadata-snapshot.js'
import type { CreatePoolOptions, OpenPoolOptions } from './lifecycle/options.js'
import { watchPool, type PoolWatch } from './pool-events.js'
import { recordLength } from './lifecycle/record-check.js'
import { recordNew } from './volume/recorded.js'
import { removePool, type RemovedPool, type RemovePoolOptions } from './lifecycle/remove.js'
import {
  readPoolSpace,
  readPoolStatus,
  type PoolSpace,
  type PoolStatus,
  type VolumeStatus,
  type VolumeUsage,
} from './state/status.js'
import { makePool, takeUpPool, type TakenUp } from './lifecycle/take-up.js'
import { ThinVolume } from './volume/thin-volume.js'
import { checkTransactionId, setTransactionId, type SetTransactionIdOptions } from './transaction-id.js'
import {
  checkThinId,
  checkVolumeSize,
  DEFAULT_TIMEOUT_MS,
  type ActivateOptions,
  type CreateVolumeOptions,
  type DeactivateOptions,
  type FindVolumeOptions,
} from './volume/volume-options.js'

/** A thin pool: two devices, for data and for metadata, from which thin volumes take their blocks. */
export class ThinPool {
  readonly #context: PoolContext
  readonly #findings: readonly Finding[]
  readonly #watches = new Set<PoolWatch>()

  private constructor({ context, findings }: TakenUp) {
    this.#context = context
    this.#findings = findings
  }

  /**
   * Makes a new pool. Files are made sparse where they do not exist and attached to loop devices that live as long as
   * the pool does. The metadata device must be blank and the data device without a signature, or `format: 'overwrite'`
   * gives up what is on them. A failed step undoes the earlier ones, until an undo fails; what was undone and what not is
   * in the error's `rollback`. Waits while another call creates, opens, grows or removes a pool of this name, or on these
   * files or devices.
   *
   * Rejects with `DM_NAME_TAKEN`, `DM_METADATA_NOT_BLANK`, `DM_SIGNATURE_FOUND`, `DM_FILE_SIZE`, `DM_FILE_NO_HOLES`, `DM_FILE_ATTACHED`,
   * `DM_FILE_MISSING`, `DM_BUSY` (a device is in use), `DM_TABLE_REFUSED`, `DM_UNAVAILABLE`, `DM_PERMISSION`,
   * `DM_INVALID_ARGUMENT`, `ABORT_ERR`.
   */
  static async create(options: CreatePoolOptions): Promise<ThinPool> {
    return new ThinPool(await makePool(options))
  }

  /**
   * Takes up a pool: the running one of this name, or, with `data` and `metadata`, the one that they hold, brought
   * back. Of a running pool, those parameters that are given are compared. Never formats. What a dead process left half
   * done is repaired and reported in `findings`; devices of other programs are only reported. Waits for other calls as `create`.
   *
   * Rejects with `DM_NOT_FOUND`, `DM_NOT_A_POOL`, `DM_POOL_MISMATCH`, `DM_METADATA_BLANK`, `DM_METADATA_CORRUPT`,
   * `DM_POOL_FAILED`, `DM_CHECK_FAILED`, `DM_FILE_MISSING`, `DM_FILE_SIZE`, `DM_BUSY`, `DM_UNAVAILABLE`, `DM_PERMISSION`, `ABORT_ERR`.
   */
  static async open(nameOrOptions: string | OpenPoolOptions): Promise<ThinPool> {
    return new ThinPool(await takeUpPool(typeof nameOrOptions === 'string' ? { name: nameOrOptions } : nameOrOptions))
  }

  /** Name of the pool's mapped device. */
  get name(): string {
    return this.#context.name
  }

  /** `/dev/dm-N` of the pool itself. Not for reading or writing. */
  get path(): string {
    return `/dev/dm-${deviceMinor(this.#context.device)}`
  }

  /** The data block size in bytes: what a write to a shared block copies. */
  get dataBlockBytes(): number {
    return this.#context.dataBlockBytes
  }

  /** What open found: what it repaired, and what is left to the caller. Empty after create, and of a sound pool. */
  get findings(): readonly Finding[] {
    return this.#findings
  }

  /**
   * Mode, space, and everything else of the kernel's status line, and how many snapshots are left in the pool's life,
   * of which the kernel does not speak. Does not commit the pool (NOFLUSH). A pool that was
   * taken down by somebody else is `DM_NOT_FOUND`.
   */
  async status(options: SignalOption = {}): Promise<PoolStatus> {
    checkOptions(options, ['signal'], 'status')
    return this.#run(() => readPoolStatus(this.#context, options.signal))
  }

  /** @internal What `status()` says of space, asked for with one call of the kernel. Undefined if the pool has failed. */
  async space(signal?: AbortSignal): Promise<PoolSpace | undefined> {
    return this.#run(() => readPoolSpace(this.#context, signal))
  }

  /**
   * A new, empty volume; inactive. Rejects with `DM_VOLUME_EXISTS` (a given id is taken), `DM_POOL_READ_ONLY`,
   * `DM_POOL_FULL`, `DM_POOL_FAILED`, `DM_NOT_COMMITTED` (the pool took it and could not commit it),
   * `DM_INVALID_ARGUMENT`.
   */
  async createVolume(options: CreateVolumeOptions): Promise<ThinVolume> {
    checkOptions(options, ['sizeBytes', 'id', 'name', 'externalOrigin', 'signal'], 'createVolume')
    const sizeBytes = checkVolumeSize(options.sizeBytes)
    const wanted = options.id === undefined ? undefined : checkThinId(options.id)
    const name = options.name === undefined ? undefined : checkName(options.name)
    const externalOrigin = originPath(options.externalOrigin)
    const { ids } = this.#context
    const make = async (id: number) => {
      await changePool(this.#context, message.createThin(id), options.signal)
      await recordNew(this.#context, [[id, { name: name ?? `${this.name}-${id}`, sizeBytes, externalOrigin }]])
      return new ThinVolume(this.#context, { id, name, sizeBytes, externalOrigin })
    }
    return this.#run(async () => {
      if (wanted === undefined) return explained(this.#context, ids.withNew(options.signal, make))
      const volume = await explained(this.#context, make(wanted))
      ids.use(wanted)
      return volume
    })
  }

  /**
   * The volume with this id, active or not. `DM_VOLUME_NOT_FOUND` where the pool has none. The pool stores no sizes
   * and no external origins: without a `record` an inactive volume needs `sizeBytes`, and what it was made with, here or
   * at `activate()`.
   */
  async volume(id: number, options: FindVolumeOptions = {}): Promise<ThinVolume> {
    checkOptions(options, ['sizeBytes', 'externalOrigin', 'known', 'signal'], 'volume')
    checkThinId(id)
    const unchecked = options.known === 'unchecked'
    const known = unchecked || checkBoolean('known', options.known)
    const sizeBytes = options.sizeBytes === undefined ? undefined : checkVolumeSize(options.sizeBytes)
    const given = { sizeBytes, externalOrigin: originPath(options.externalOrigin), unchecked }
    const looks = unchecked ? 'none' : known ? 'own' : 'all'
    return this.#run(() => findVolume(this.#context, id, given, looks, options.signal))
  }

  /**
   * All volumes of the pool by ascending id, read from its metadata, with those active known as such; with names, sizes
   * and origins where the pool has a `record`.
   */
  async volumes(options: SignalOption = {}): Promise<ThinVolume[]> {
    checkOptions(options, ['signal'], 'volumes')
    return this.#run(() => findVolumes(this.#context, options.signal))
  }

  /**
   * Exclusive and shared blocks of each volume, counted in the pool's metadata as of its last commit, without
   * stopping it. Time grows with the mappings. `DM_METADATA_BUSY` where the pool commits faster than can be read.
   */
  async usage(options: SignalOption = {}): Promise<VolumeUsage[]> {
    checkOptions(options, ['signal'], 'usage')
    return this.#run(async () => {
      const { signal } = options
      const all = await readMetadata(this.#context, signal, source => thinUsage(source, { signal }))
      return all.map(({ id, mappedBlocks, exclusiveBlocks, sharedBlocks }) => ({
        id,
        mappedBlocks,
        exclusiveBlocks,
        sharedBlocks,
      }))
    })
  }

  /**
   * Snapshots of one volume: as many as `wanted` says, or those with the ids in it. An active origin is suspended once for
   * each 32, so that its I/O is not held back for long; those 32 have the same content. A result for each: take the
   * volumes with `volumesOf`. Rejects as a whole with `DM_POOL_WORN` where the pool has not so many snapshots left, and
   * where the origin could not be suspended or resumed for the first 32, or the call was aborted before; then none is
   * left. Those that an abort comes before are rejected with `ABORT_ERR`.
   */
  async snapshotMany(
    origin: ThinVolume,
    wanted: number | readonly number[],
    options: SignalOption = {},
  ): Promise<VolumeResult[]> {
    checkOptions(options, ['signal'], 'snapshotMany')
    if (typeof wanted !== 'object') checkNumber('wanted', wanted, { min: 1, max: MAX_THIN_ID })
    else if (Array.isArray(wanted)) wanted.forEach(checkThinId)
    else throw invalid('wanted must be a number or a list of ids')
    return this.#run(() => snapshotMany(this.#context, origin, wanted, options.signal))
  }

  /** Activates all at once; the kernel's waits overlap. A result for each, in the order given. */
  async activateMany(
    volumes: readonly ThinVolume[],
    options: ManyOptions & Pick<ActivateOptions, 'readOnly'> = {},
  ): Promise<VolumeResult[]> {
    checkOptions(options, ['readOnly', 'onProgress', 'signal'], 'activateMany')
    const readOnly = checkBoolean('readOnly', options.readOnly)
    return this.#run(() => activateMany(this.#context, volumes, options, readOnly))
  }

  /** Deactivates all at once. A result for each, in the order given. */
  async deactivateMany(
    volumes: readonly ThinVolume[],
    options: ManyOptions & Pick<DeactivateOptions, 'timeoutMs'> = {},
  ): Promise<VolumeResult[]> {
    checkOptions(options, ['timeoutMs', 'onProgress', 'signal'], 'deactivateMany')
    const limitMs = checkNumber('timeoutMs', options.timeoutMs ?? DEFAULT_TIMEOUT_MS, { min: 0 })
    return this.#run(() => deactivateMany(this.#context, volumes, options, limitMs))
  }

  /** Deletes all, which must be inactive, in batches of 64, after each of which progress is reported. A result for each, in the order given. */
  async deleteMany(volumes: readonly ThinVolume[], options: ManyOptions = {}): Promise<VolumeResult[]> {
    checkOptions(options, ['onProgress', 'signal'], 'deleteMany')
    return this.#run(() => deleteMany(this.#context, volumes, options))
  }

  /** Returns the status of all, with one native call. A result for each, in the order given. */
  async statusMany(volumes: readonly ThinVolume[], options: SignalOption = {}): Promise<VolumeResult<VolumeStatus>[]> {
    checkOptions(options, ['signal'], 'statusMany')
    return this.#run(() => statusMany(this.#context, volumes, options.signal))
  }

  /**
   * What happens to the pool, from when `ready` of it resolves, and the conditions that hold already (marked `initial`): low on data or metadata, a
   * change of mode, a needed check, failure, removal. `for await` it, or listen to `change`. Nothing is polled: the
   * kernel's event is what makes the status be looked at. Ends with the signal, with `close()` of either, and after
   * `removed`. Unread events of one type are merged, the later counts.
   */
  events(options: SignalOption = {}): PoolWatch {
    checkOptions(options, ['signal'], 'events')
    this.#context.pending.check()
    const watch = watchPool(this.#context, options.signal)
    this.#watches.add(watch)
    watch.once('close', () => this.#watches.delete(watch))
    return watch
  }

  /**
   * Makes the pool larger while it runs; writers that wait for space go on. Files grow with it, block devices must
   * have grown before. Pools never shrink. Rejects with `DM_INVALID_ARGUMENT`, `DM_POOL_READ_ONLY` (also where its
   * metadata needs a check), `DM_POOL_FAILED`, `DM_POOL_SUSPENDED` (a reload would resume it), `DM_FILE_MISSING` (the
   * path of a file below leads to another by now).
   */
  async grow(options: GrowOptions): Promise<void> {
    checkOptions(options, ['dataBytes', 'metadataBytes', 'signal'], 'grow')
    const size = (name: string, value: number | undefined) =>
      value === undefined ? undefined : checkNumber(name, value, { min: SECTOR_BYTES, multipleOf: SECTOR_BYTES })
    const sizes = {
      dataBytes: size('dataBytes', options.dataBytes),
      metadataBytes: size('metadataBytes', options.metadataBytes),
    }
    await this.#run(() =>
      this.#alone(options.signal, async lock => {
        await growPool(this.#context, sizes, lock, options.signal)
        await recordLength(this.#context)
      }),
    )
  }

  /**
   * Has the kernel commit the pool's metadata, and looks whether it could: when this resolves, every change of the pool
   * before it is on disk, those of `durability: 'lazy'` too. Rejects with `DM_NOT_COMMITTED` where the pool could not
   * commit since: changes after its last commit are lost. Rejects with `DM_NOT_FOUND`, `ABORT_ERR`.
   */
  async commit(options: SignalOption = {}): Promise<void> {
    checkOptions(options, ['signal'], 'commit')
    await this.#run(() => commitPool(this.#context, options.signal))
  }

  /**
   * Sets the pool's transaction id, a number for the caller's own bookkeeping, if it is `currentId` now
   * (`DM_TRANSACTION_MISMATCH` otherwise, with the id that it is as `detail`). When this resolves, the pool's metadata
   * on disk has it, and every change of the pool before it. Rejects with `DM_NOT_COMMITTED`, `DM_POOL_READ_ONLY`,
   * `DM_POOL_FAILED`.
   */
  async setTransactionId(options: SetTransactionIdOptions): Promise<void> {
    checkOptions(options, ['currentId', 'newId', 'signal'], 'setTransactionId')
    const currentId = checkTransactionId('currentId', options.currentId)
    const newId = checkTransactionId('newId', options.newId)
    await this.#run(() => setTransactionId(this.#context, currentId, newId, options.signal))
  }

  /**
   * Holds the metadata as it is now for programs that read it while the pool goes on (`thin_dump --metadata-snap`,
   * `thin_ls`). A pool has one; no data block that it leads to is freed while it is held, and it is held until it is
   * released: the end of this process does not, nor does taking the pool down.
   *
   * Rejects with `DM_METADATA_SNAPSHOT_HELD`, `DM_NOT_COMMITTED`, `DM_POOL_READ_ONLY`, `DM_POOL_FAILED`.
   */
  async reserveMetadataSnapshot(options: SignalOption = {}): Promise<MetadataSnapshot> {
    checkOptions(options, ['signal'], 'reserveMetadataSnapshot')
    return this.#run(() => reserveMetadataSnapshot(this.#context, options.signal))
  }

  /** Releases the metadata snapshot, whoever reserved it. `DM_METADATA_SNAPSHOT_NOT_HELD` where there is none. */
  async releaseMetadataSnapshot(options: SignalOption = {}): Promise<void> {
    checkOptions(options, ['signal'], 'releaseMetadataSnapshot')
    await this.#run(() => releaseMetadataSnapshot(this.#context, undefined, options.signal))
  }

  /**
   * Takes the pool down: the mapped device, the loop devices that were attached for it, and what the options name. The
   * volumes stay on the files or devices, unless `deleteFiles`. Gives what it took. Closes this object.
   *
   * Rejects with `DM_POOL_IN_USE` (active volumes), `DM_BUSY` (with the holders that could be seen), `DM_NOT_FOUND` (the
   * pool was taken down; another of its name is left alone).
   */
  async remove(options: RemovePoolOptions = {}): Promise<RemovedPool> {
    checkOptions(options, ['deactivate', 'deleteFiles', 'timeoutMs', 'signal'], 'remove')
    const plan = {
      deactivate: checkBoolean('deactivate', options.deactivate),
      deleteFiles: checkBoolean('deleteFiles', options.deleteFiles),
      limitMs: checkNumber('timeoutMs', options.timeoutMs ?? DEFAULT_TIMEOUT_MS, { min: 0 }),
      signal: options.signal,
    }
    const removed = await this.#run(() =>
      this.#alone(options.signal, async lock => {
        const taken = await removePool(this.#context, plan, lock)
        if (plan.deleteFiles) await this.#context.record?.remove()
        return taken
      }),
    )
    await this.close()
    return removed
  }

  /** Waits for the calls under way and lets nothing new in. Pool, volumes and devices stay. Idempotent. */
  async close(): Promise<void> {
    for (const watch of this.#watches) watch.close()
    await this.#context.pending.close()
  }

  /** Calls `close()`: for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #run<T>(body: () => Promise<T>): Promise<T> {
    return this.#context.pending.run(body)
  }

  #alone<T>(signal: AbortSignal | undefined, body: (lock: PoolLock) => Promise<T>): Promise<T> {
    return withPoolLock(this.#context.port, this.name, signal, body)
  }
}
