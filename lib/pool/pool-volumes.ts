// The part of the pool class that concerns its volumes.
import { checkBoolean, checkNumber, checkOptions, type SignalOption } from '../base/options.js'
import { readUsage } from './state/live-metadata.js'
import type { PoolContext } from './state/context.js'
import type { VolumeStatus, VolumeUsage } from './state/status.js'
import type { ManyOptions, VolumeResult } from './volume/batch.js'
import { activateMany, checkWanted, deactivateMany, deleteMany, snapshotMany, statusMany } from './volume/bulk.js'
import { checkCreateVolume, createVolume } from './volume/create-volume.js'
import { checkFindVolume, findVolume, findVolumes } from './volume/find-volume.js'
import { forkVolume } from './volume/fork.js'
import type { ThinVolume } from './volume/thin-volume.js'
import {
  checkThinId,
  DEFAULT_TIMEOUT_MS,
  type ActivateOptions,
  type CreateVolumeOptions,
  type DeactivateOptions,
  type FindVolumeOptions,
} from './volume/volume-options.js'

/** The volumes of a pool: creates, finds, snapshots, activates and deletes them. */
export abstract class PoolVolumes {
  /** @internal */
  readonly context: PoolContext

  /** @internal */
  protected constructor(context: PoolContext) {
    this.context = context
  }

  /**
   * Creates an empty, inactive volume. Rejects with `DM_VOLUME_EXISTS` (a given id is in use), `DM_POOL_RESERVE`,
   * `DM_POOL_READ_ONLY`, `DM_POOL_FULL`, `DM_POOL_FAILED`, `DM_NOT_COMMITTED` (the pool accepted the volume and could not
   * commit it),
   * `DM_INVALID_ARGUMENT`.
   */
  async createVolume(options: CreateVolumeOptions): Promise<ThinVolume> {
    const plan = checkCreateVolume(options)
    return this.run(() => createVolume(this.context, plan))
  }

  /**
   * Returns the volume with this id, active or inactive. Rejects with `DM_VOLUME_NOT_FOUND` if the pool does not have
   * it. The pool stores neither sizes nor external origins: without a `record`, an inactive volume needs its
   * `sizeBytes` and its `externalOrigin`, if it has one, here or at `activate()`.
   */
  async volume(id: number, options: FindVolumeOptions = {}): Promise<ThinVolume> {
    checkThinId(id)
    const { given, looks } = checkFindVolume(options)
    return this.run(() => findVolume(this.context, id, given, looks, options.signal))
  }

  /**
   * Returns all volumes of the pool by ascending id, read from its metadata. Volumes that are active are marked as
   * such. Names, sizes and origins are known if the pool has a `record`. Rejects with `DM_NOT_FOUND`, `DM_POOL_FAILED`,
   * `DM_METADATA_BUSY`.
   */
  async volumes(options: SignalOption = {}): Promise<ThinVolume[]> {
    checkOptions(options, ['signal'], 'volumes')
    return this.run(() => findVolumes(this.context, options.signal))
  }

  /**
   * Returns the exclusive and shared blocks of each volume, counted in the pool's metadata as of its last commit. The
   * pool keeps running. The time grows with the number of mappings. Rejects with `DM_METADATA_BUSY` if the pool commits
   * faster than its metadata can be read.
   */
  async usage(options: SignalOption = {}): Promise<VolumeUsage[]> {
    checkOptions(options, ['signal'], 'usage')
    return this.run(() => readUsage(this.context, options.signal))
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
    return this.run(() => snapshotMany(this.context, origin, wanted, options.signal))
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
    return this.run(() => forkVolume(this.context, origin, wanted, options))
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
    return this.run(() => activateMany(this.context, volumes, options, readOnly))
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
    const limitMs = checkNumber('timeoutMs', options.timeoutMs ?? DEFAULT_TIMEOUT_MS, { min: 0 })
    return this.run(() => deactivateMany(this.context, volumes, options, limitMs))
  }

  /**
   * Deletes all volumes, which must be inactive, in batches of 64. Reports progress after each batch. Returns a result
   * for each, in the order given, with the error of `ThinVolume.delete`. Rejects as a whole with `DM_INVALID_ARGUMENT`
   * if one is not a volume of this pool.
   */
  async deleteMany(volumes: readonly ThinVolume[], options: ManyOptions = {}): Promise<VolumeResult[]> {
    checkOptions(options, ['onProgress', 'signal'], 'deleteMany')
    return this.run(() => deleteMany(this.context, volumes, options))
  }

  /**
   * Returns the status of all volumes, with one native call: a result for each, in the order given, with the error of
   * `ThinVolume.status`. Rejects as a whole with `DM_INVALID_ARGUMENT` if one is not a volume of this pool.
   */
  async statusMany(volumes: readonly ThinVolume[], options: SignalOption = {}): Promise<VolumeResult<VolumeStatus>[]> {
    checkOptions(options, ['signal'], 'statusMany')
    return this.run(() => statusMany(this.context, volumes, options.signal))
  }

  /** @internal Runs a call that `close()` waits for. */
  protected run<T>(body: () => Promise<T>): Promise<T> {
    return this.context.pending.run(body)
  }
}
