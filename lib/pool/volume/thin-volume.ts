// The class of thin volumes: a thin id of a pool, and a mapped device while the volume is active.
import { DmThinError, hasCode, undefinedIf } from '../../base/errors.js'
import {
  checkBoolean,
  checkName,
  checkNumber,
  checkOptions,
  checkPath,
  signalOption,
  type SignalOption,
} from '../../base/options.js'
import { SECTOR_BYTES } from '../../base/units.js'
import { BUSY_RETRY_MS, TABLE_FLAG } from '../../kernel/port/device-port.js'
import type { ActivateRequest, Outcome, ReserveRequest, SnapshotRequest } from '../../kernel/port/pool-port.js'
import type { DeltaRange } from '../../metadata/ranges.js'
import { changedSince, saveMappings } from '../bookmark/calls.js'
import { MetadataReads } from '../metadata-read/metadata-reads.js'
import type { Bookmark, BookmarkOptions, WalkOptions } from '../metadata-read/walk.js'
import { message } from '../../target/messages.js'
import { changePool } from '../state/commit-point.js'
import { activationGuard, isUp, removalGuard, type PoolContext } from '../state/context.js'
import { withSharedLock } from '../state/locks.js'
import { admitted } from '../state/space-reserve.js'
import { checkThinId } from '../state/thin-ids.js'
import type { CountCompleted } from '../state/snapshot-clock.js'
import { volumeStatus, type VolumeStatus } from '../state/status.js'
import { activeDevice } from './active-device.js'
import { externalOriginIn, externalOriginNumber } from './external-origin.js'
import { growVolume } from './grow-volume.js'
import { deleteAgain, recordDeleted, recordNew, recordWritable } from './recorded.js'
import { outcomeOf, sendSnapshotActive, sendSnapshots, snapshotRefused } from './snapshot-error.js'
import {
  type ActivateOptions,
  type DeactivateOptions,
  type GrowVolumeOptions,
  type SnapshotOptions,
  type VolumeIdentity,
  checkVolumeSize,
} from './volume-options.js'
import { VolumeState } from './volume-state.js'

type ExtraRequest = Pick<SnapshotRequest, 'unwritten' | 'reserve'>

interface CreatedSnapshot {
  readonly made: ThinVolume
  /** If it was activated in the same call: its outcome. */
  readonly activated: { readonly request: ActivateRequest; readonly outcome: Outcome } | undefined
}

/** A thin volume of a pool, active or not. */
export class ThinVolume {
  readonly #state: VolumeState
  /** The thin id, 0 to 2^24-1, which identifies the volume in its pool. */
  readonly id: number
  /**
   * The thin id of the origin if this volume is a snapshot. Undefined if it is not one, and if the pool has no
   * `record`.
   */
  readonly origin: number | undefined

  /** @internal Volumes come from a pool. */
  constructor(pool: PoolContext, identity: VolumeIdentity) {
    this.#state = new VolumeState(pool, identity)
    this.id = identity.id
    this.origin = identity.origin
  }

  /** Name of the mapped device, at present or after the next activation. Default `POOL-ID`. */
  get name(): string {
    return this.#state.name
  }

  /**
   * Size in bytes. The pool stores no sizes: it is the size given at creation or read from the active device, and
   * undefined if neither is known.
   */
  get sizeBytes(): number | undefined {
    return this.#state.sizeBytes
  }

  /**
   * The device that the volume reads at blocks of which it has none. The pool does not store it: undefined if it is
   * unknown.
   */
  get externalOrigin(): string | undefined {
    return this.#state.externalOrigin
  }

  /**
   * State of the volume as this object knows it: true if active. Another process may have changed it: see `refresh()`.
   */
  get active(): boolean {
    return this.#state.device !== undefined
  }

  /**
   * `/dev/dm-N`. The node exists from activation to deactivation, with udev and without. Throws `DM_NOT_ACTIVE` if the
   * volume is inactive.
   */
  get path(): string {
    return this.#state.path
  }

  /**
   * Activates the volume: creates its mapped device, loads its table and resumes it, in one native call. The kernel
   * takes milliseconds (RCU grace periods), during which JavaScript is not blocked; concurrent calls overlap.
   *
   * Rejects with `DM_ALREADY_ACTIVE` (by any process and under any name: a volume active under two names loses data),
   * `DM_NAME_TAKEN`, `DM_VOLUME_NOT_FOUND`, `DM_SIZE_UNKNOWN`, `DM_POOL_SUSPENDED`, `DM_POOL_FAILED`,
   * `DM_TABLE_REFUSED`, `ABORT_ERR`; for an external origin with `DM_FILE_MISSING`, `DM_BUSY` (mounted, or claimed by
   * another), `DM_INVALID_ARGUMENT`. In each case no device is left.
   */
  async activate(options: ActivateOptions = {}): Promise<this> {
    checkOptions(options, ['sizeBytes', 'name', 'readOnly', 'externalOrigin', 'signal'], 'activate')
    const name = options.name === undefined ? this.#state.name : checkName(options.name)
    const readOnly = checkBoolean('readOnly', options.readOnly)
    const sizeBytes = this.#state.sizeFor(options.sizeBytes)
    const { signal, externalOrigin = this.#state.externalOrigin } = options
    if (externalOrigin !== undefined) checkPath('externalOrigin', externalOrigin)
    return this.#run(async () => {
      const origin = externalOrigin && (await externalOriginNumber(this.#pool, externalOrigin, signal))
      const request = this.#state.activateRequest(name, sizeBytes, readOnly, origin)
      const guard = activationGuard(this.#pool, this.#state.unchecked)
      if (!readOnly) await recordWritable(this.#pool, [this.id])
      const call = withSharedLock(this.#pool, signal, () => this.#port.activate({ ...request, guard }, signal))
      await this.#state.activated(request, await outcomeOf(call))
      this.#state.externalOrigin = externalOrigin
      return this
    })
  }

  /**
   * Deactivates the volume: removes its mapped device. The volume and its data stay. Retries while the device is open
   * (only on EBUSY) for up to `timeoutMs`, after which it rejects with `DM_BUSY` and the holders that could be found.
   * Waits for a snapshot of the volume that another call makes. Suspends the device before the removal if nobody has it
   * open; a failure leaves it resumed. Does nothing if the volume is inactive.
   */
  async deactivate(options: DeactivateOptions = {}): Promise<void> {
    checkOptions(options, ['timeoutMs', 'signal'], 'deactivate')
    const limit = checkNumber('timeoutMs', options.timeoutMs ?? BUSY_RETRY_MS, { min: 0 })
    await this.#run(() => this.#deactivate(limit, options.signal))
  }

  /**
   * Creates a snapshot: a volume with the same content that shares all blocks, and has the same external origin if
   * there is one. An active origin is suspended, snapshotted and resumed in one native critical section, which always
   * resumes it; an inactive one is not touched. The cost does not depend on the depth of snapshots.
   *
   * Rejects with `DM_VOLUME_EXISTS` (a given id is in use), `DM_VOLUME_NOT_FOUND`, `DM_POOL_RESERVE`,
   * `DM_POOL_READ_ONLY`, `DM_POOL_FULL`, `DM_POOL_WORN` (after nearly 2^24 snapshots in the pool's life),
   * `DM_NOT_COMMITTED` (the pool accepted the snapshot and could not commit it). With `activate` it also rejects with
   * the codes of `activate()`, and the snapshot is deleted again.
   */
  async snapshot(options: SnapshotOptions = {}): Promise<ThinVolume> {
    checkOptions(options, ['id', 'name', 'activate', 'readOnly', 'signal'], 'snapshot')
    return this.#snapshot(options)
  }

  /** @internal Does `snapshot` of a volume that nobody writes, if the pool has the space of the reserve. */
  async snapshotUnwritten(options: SnapshotOptions, reserve: ReserveRequest | undefined): Promise<ThinVolume> {
    return this.#snapshot(options, { unwritten: true, reserve })
  }

  async #snapshot(options: SnapshotOptions, extra: ExtraRequest = {}): Promise<ThinVolume> {
    const { signal } = options
    const name = options.name === undefined ? undefined : checkName(options.name)
    const readOnly = checkBoolean('readOnly', options.readOnly)
    const wanted = options.id === undefined ? undefined : checkThinId(options.id)
    if (checkBoolean('activate', options.activate)) this.#state.sizeFor()
    return this.#run(async () => {
      // Between the two calls of a pool with a record that is written; an external origin is looked at before each.
      const together = options.activate && !this.#pool.record && this.#state.externalOrigin === undefined
      const make = (id: number) => this.#createSnap(id, name, together ? { readOnly } : undefined, extra, signal)
      const created = wanted === undefined ? await this.#pool.ids.withNew(signal, make) : await make(wanted)
      const { made, activated } = created
      this.#pool.ids.use(made.id)
      await recordNew(this.#pool, [made.#state.recorded])
      if (!options.activate) return made
      try {
        if (activated === undefined) return await made.activate({ readOnly, ...signalOption(signal) })
        await made.#state.activated(activated.request, activated.outcome)
        return made
      } catch (fault) {
        throw await made.#undoCreation(fault)
      }
    })
  }

  /**
   * Grows the volume while it is in use; a volume never shrinks. An active volume is suspended while its table is replaced,
   * without a wait for its I/O. Its file system does not grow: see
   * `growFileSystem`. If a call was interrupted, repeat it with the same size.
   *
   * Rejects with `DM_INVALID_ARGUMENT` (smaller than the volume), `DM_BUSY` (somebody has suspended its device),
   * `DM_POOL_SUSPENDED`, `DM_POOL_FAILED`, `DM_TABLE_REFUSED`, `DM_NOT_FOUND`, `DM_RECORD`, `ABORT_ERR`.
   */
  async grow(options: GrowVolumeOptions): Promise<void> {
    checkOptions(options, ['sizeBytes', 'signal'], 'grow')
    const sizeBytes = checkVolumeSize(options.sizeBytes)
    await this.#run(() => growVolume(this.#state, sizeBytes, options.signal))
  }

  /**
   * Returns the mapped bytes and the size, without committing the pool (NOFLUSH). Rejects with `DM_NOT_ACTIVE` if the
   * volume has no device.
   */
  async status(options: SignalOption = {}): Promise<VolumeStatus> {
    checkOptions(options, ['signal'], 'status')
    return this.#run(async () => {
      this.#state.activeDevice()
      const [up, [line]] = await Promise.all([
        this.#state.isOwnNow || isUp(this.#pool, options.signal),
        this.#port.tableStatus(this.#state.address, TABLE_FLAG.noflush, options.signal).catch(this.#gone),
      ])
      if (!up) this.#state.adopt(undefined)
      if (!up || !line) throw this.#state.notActive()
      return volumeStatus(line.parameters, line.lengthSectors)
    })
  }

  /**
   * Updates this object from the kernel: active or not, name, size and external origin. Returns true if the volume is
   * active; false also if the pool is gone. Rejects with `DM_CLOSED`, `ABORT_ERR`.
   */
  async refresh(options: SignalOption = {}): Promise<boolean> {
    checkOptions(options, ['signal'], 'refresh')
    return this.#run(async () => {
      const found = await activeDevice(this.#pool, this.id, options.signal).catch(undefinedIf('DM_NOT_FOUND'))
      this.#state.adopt(found)
      if (found) {
        this.#state.sizeBytes = found.line.lengthSectors * SECTOR_BYTES
        this.#state.externalOrigin = externalOriginIn(found.line)
      }
      return this.active
    })
  }

  /**
   * Saves the mappings of the volume in a file, with which `changedSince` of any volume of the pool returns what has changed
   * since, also if this one is deleted. The volume must be a snapshot that was not written, or an origin that was not
   * written since its last snapshot. Reads the pool as it is at this call. Rejects like `ThinMetadata.bookmark` and
   * `ThinMetadata.open`.
   */
  async bookmark(path: string, options: BookmarkOptions = {}): Promise<Bookmark> {
    checkOptions(options, ['onProgress', 'signal'], 'bookmark')
    checkPath('path', path)
    return this.#run(async () => {
      const reads = await MetadataReads.openPool(this.#pool, true, options.signal)
      try {
        return await saveMappings(reads, this.id, path, options)
      } finally {
        await reads.close()
      }
    })
  }

  /**
   * Returns the differences from the mappings that `bookmark` has saved, on the left, to those of this volume at the call, on
   * the right, by ascending virtual block. Until the iteration ends, no data block of that state is freed. Throws like
   * `ThinMetadata.changedSince` and `ThinMetadata.open`.
   */
  async *changedSince(path: string, options: WalkOptions = {}): AsyncGenerator<DeltaRange, void> {
    checkOptions(options, ['from', 'to', 'onProgress', 'signal'], 'changedSince')
    checkPath('path', path)
    const reads = await this.#run(() => MetadataReads.openPool(this.#pool, true, options.signal))
    try {
      const ranges = changedSince(reads, path, this.id, options)
      try {
        for (;;) {
          const next = await this.#run(() => ranges.next())
          if (next.done) return
          yield next.value
        }
      } finally {
        await ranges.return()
      }
    } finally {
      await reads.close()
    }
  }

  /**
   * Deletes the volume from the pool, which frees its exclusive blocks. Rejects with `DM_VOLUME_ACTIVE` if the volume
   * is active. The kernel's time grows with the number of exclusive blocks. Rejects with `DM_NOT_COMMITTED` if the pool
   * deleted the volume and could not commit that: the volume may exist again.
   */
  async delete(options: SignalOption = {}): Promise<void> {
    checkOptions(options, ['signal'], 'delete')
    await this.#run(() => this.#delete(options.signal))
  }

  /** Deactivates and deletes the volume. Rejects with the codes of `deactivate()` and `delete()`. */
  async destroy(options: DeactivateOptions = {}): Promise<void> {
    checkOptions(options, ['timeoutMs', 'signal'], 'destroy')
    const limit = checkNumber('timeoutMs', options.timeoutMs ?? BUSY_RETRY_MS, { min: 0 })
    await this.#run(async () => {
      await this.#deactivate(limit, options.signal)
      await this.#delete(options.signal)
    })
  }

  /** Waits for the calls in progress on this object and rejects new ones. The device and the volume stay. */
  async close(): Promise<void> {
    await this.#state.pending.close()
  }

  /** Calls `close()`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** @internal Returns true if the volume belongs to this pool. */
  belongsTo(pool: PoolContext): boolean {
    return this.#pool === pool
  }

  /** @internal For calls of many volumes. */
  get state(): VolumeState {
    return this.#state
  }

  get #pool() {
    return this.#state.pool
  }

  get #port() {
    return this.#state.pool.port
  }

  #run<T>(body: () => Promise<T>): Promise<T> {
    return this.#state.pending.run(body)
  }

  readonly #gone = (fault: unknown): never => {
    if (!hasCode(fault, 'DM_NOT_FOUND')) throw fault
    this.#state.device = undefined
    throw this.#state.notActive()
  }

  async #deactivate(limitMs: number, signal?: AbortSignal): Promise<void> {
    const started = performance.now()
    const guard = removalGuard(this.#pool, !this.#state.isOwnNow)
    const call = this.#port.deactivate(guard, this.#state.removed, limitMs, signal)
    await this.#state.deactivated(await outcomeOf(call), started)
  }

  async #delete(signal?: AbortSignal): Promise<void> {
    await this.#state.deleted(await outcomeOf(changePool(this.#pool, message.delete(this.id), signal)))
    await recordDeleted(this.#pool, [this.id])
  }

  /** `activation`: activates it in the same call. */
  async #createSnap(
    id: number,
    name: string | undefined,
    activation: { readonly readOnly: boolean } | undefined,
    extra: ExtraRequest,
    signal?: AbortSignal,
  ): Promise<CreatedSnapshot> {
    const { sizeBytes, externalOrigin, id: origin } = this.#state
    const made = new ThinVolume(this.#pool, { id, name, sizeBytes, externalOrigin, origin })
    const wanted = { ...this.#state.snapshotRequest([id]), ...extra }
    // Nobody can have the id active that the pool did not have until now.
    const guard = activationGuard(this.#pool, true)
    const { state } = made
    const request = activation && state.activateRequest(state.name, this.#state.sizeFor(), activation.readOnly)
    const send = async (completed: CountCompleted) => {
      const sent = request
        ? await sendSnapshotActive(this.#pool, wanted, { ...request, guard }, signal)
        : { item: (await sendSnapshots(this.#pool, wanted, signal))[0]!, activated: undefined }
      if (sent.item.errno === 0) state.snapshotTime = completed()
      return sent
    }
    const { item, activated } = await admitted(this.#pool, 1, send)
    if (item.errno !== 0) throw await snapshotRefused(this.#pool, item, this.id, signal)
    return { made, activated: request && activated !== undefined ? { request, outcome: activated } : undefined }
  }

  async #undoCreation(fault: unknown): Promise<unknown> {
    if (!(fault instanceof DmThinError)) return fault
    const step = await deleteAgain(this.#pool, this.id)
    if (step.errno === 0) await recordDeleted(this.#pool, [this.id]).catch(() => {})
    return fault.refined(fault.code, fault.message, { rollback: [...fault.rollback, step] })
  }
}
