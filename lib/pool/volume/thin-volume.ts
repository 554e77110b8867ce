// A thin volume: a thin id of a pool, and a mapped device while it is active.
import { withHolders } from '../../block/holders.js'
import { Pending } from '../../base/pending.js'
import { Undo } from '../../base/rollback.js'
import { DmThinError } from '../../base/errors.js'
import { checkBoolean, checkName, checkOptions, checkPath, type SignalOption } from '../../base/options.js'
import {
  TABLE_FLAG,
  type ActivateRequest,
  type ActiveThin,
  type DeviceAddress,
  type Outcome,
  type SnapshotRequest,
} from '../../kernel/port/port.js'
import { deviceMinor } from '../../base/device-number.js'
import { message } from '../../target/messages.js'
import { thinTableLine } from '../../target/thin.js'
import { checkNumber, SECTOR_BYTES, sectors } from '../../base/units.js'
import type { VolumeBatch } from './volume-batch.js'
import { changePool, isCommitted } from '../state/commit-point.js'
import {
  activationGuard,
  addressOf,
  explain,
  isNamedByVolumes,
  isUp,
  knownPool,
  volumeUuidPrefix,
  type PoolContext,
} from '../state/context.js'
import { externalOriginIn, externalOriginNumber, originInUse } from './external-origin.js'
import { withSharedLock } from '../state/locks.js'
import type { VolumeRecord } from '../state/record.js'
import { deleteAgain, recordActive, recordDeleted, recordNew } from './recorded.js'
import { outcomeOf, sendSnapshotActive, sendSnapshots, snapshotRefused, whoHasName } from './snapshot-error.js'
import { volumeStatus, type VolumeStatus } from '../state/status.js'
import {
  checkThinId,
  checkVolumeSize,
  DEFAULT_TIMEOUT_MS,
  type ActivateOptions,
  type DeactivateOptions,
  type SnapshotOptions,
  type VolumeIdentity,
} from './volume-options.js'

interface CreatedSnapshot {
  readonly made: ThinVolume
  /** If it was activated in the same call: what came of it. */
  readonly activated: { readonly request: ActivateRequest; readonly outcome: Outcome } | undefined
}

export class ThinVolume {
  readonly #pool: PoolContext
  readonly #pending: Pending
  readonly #unchecked: boolean
  /** The thin id, 0 to 2^24-1: what the pool knows the volume by. */
  readonly id: number
  /** The thin id that it is a snapshot of; undefined where it is none, or where the pool has no `record`. */
  readonly origin: number | undefined
  #name: string
  #sizeBytes: number | undefined
  #externalOrigin: string | undefined
  #device: number | undefined
  /** Set where another program activated it: then it has a uuid of its own, or none. */
  #foreign: DeviceAddress | undefined
  #batch: VolumeBatch | undefined

  /** @internal Volumes come from a pool. */
  constructor(pool: PoolContext, identity: VolumeIdentity) {
    this.#pool = pool
    this.id = identity.id
    this.origin = identity.origin
    this.#name = identity.name ?? `${pool.name}-${identity.id}`
    this.#pending = new Pending(`volume ${identity.id} of pool ${pool.name}`, pool.pending)
    this.#unchecked = identity.unchecked ?? false
    this.#sizeBytes = identity.sizeBytes
    this.#externalOrigin = identity.externalOrigin
    if (identity.active) this.#adopt(identity.active)
  }

  /** Name of the mapped device, now or when it will be activated. Default `POOL-ID`. */
  get name(): string {
    return this.#name
  }

  /** Size in bytes, where known: the pool stores none. Given at creation, or read from the active device. */
  get sizeBytes(): number | undefined {
    return this.#sizeBytes
  }

  /** The device that it reads where it has no block of its own, where known: the pool stores none. */
  get externalOrigin(): string | undefined {
    return this.#externalOrigin
  }

  /** Whether this object knows the volume to be active. Another process may know better: see `refresh()`. */
  get active(): boolean {
    return this.#device !== undefined
  }

  /** `/dev/dm-N`: there from activation to deactivation, with udev and without. Throws `DM_NOT_ACTIVE` otherwise. */
  get path(): string {
    return `/dev/dm-${deviceMinor(this.#activeDevice())}`
  }

  get #uuid(): string {
    return volumeUuidPrefix(this.#pool) + this.id
  }

  /** Whether a device at its address cannot be a volume of another pool. */
  get #isOwnNow(): boolean {
    return this.#foreign === undefined && isNamedByVolumes(this.#pool)
  }

  get #address(): DeviceAddress {
    return this.#foreign ?? { uuid: this.#uuid, label: this.#name }
  }

  /**
   * Makes the volume a block device: create, load, resume as one native call. Waits for the kernel (its RCU grace
   * periods, milliseconds), not in JavaScript; many at once overlap.
   *
   * Rejects with `DM_ALREADY_ACTIVE` (by any process, under any name: one volume under two names loses data),
   * `DM_NAME_TAKEN`, `DM_VOLUME_NOT_FOUND`, `DM_SIZE_UNKNOWN`, `DM_POOL_SUSPENDED`, `DM_POOL_FAILED`,
   * `DM_TABLE_REFUSED`, `ABORT_ERR`; of an external origin `DM_FILE_MISSING`, `DM_BUSY` (mounted, or claimed by
   * another), `DM_INVALID_ARGUMENT`. In each case no device is left.
   */
  async activate(options: ActivateOptions = {}): Promise<this> {
    checkOptions(options, ['sizeBytes', 'name', 'readOnly', 'externalOrigin', 'signal'], 'activate')
    const name = options.name === undefined ? this.#name : checkName(options.name)
    const readOnly = checkBoolean('readOnly', options.readOnly)
    const sizeBytes = this.#sizeFor(options.sizeBytes)
    const { signal, externalOrigin = this.#externalOrigin } = options
    if (externalOrigin !== undefined) checkPath('externalOrigin', externalOrigin)
    return this.#run(async () => {
      const origin = externalOrigin && (await externalOriginNumber(this.#pool, externalOrigin, signal))
      const request = this.#activateRequest(name, sizeBytes, readOnly, origin)
      const guard = activationGuard(this.#pool, this.#unchecked)
      const call = withSharedLock(this.#pool, signal, () => this.#port.activate({ ...request, guard }, signal))
      await this.#activated(request, await outcomeOf(call))
      this.#externalOrigin = externalOrigin
      return this
    })
  }

  /**
   * Takes the block device away; the volume and its data stay. While somebody holds it open it is tried again, on
   * EBUSY only, until `timeoutMs` are over: then `DM_BUSY` with the holders that could be seen. An inactive volume is
   * left as it is.
   */
  async deactivate(options: DeactivateOptions = {}): Promise<void> {
    checkOptions(options, ['timeoutMs', 'signal'], 'deactivate')
    const limit = checkNumber('timeoutMs', options.timeoutMs ?? DEFAULT_TIMEOUT_MS, { min: 0 })
    await this.#run(() => this.#deactivate(limit, options.signal))
  }

  /**
   * A new volume with the same content, sharing all blocks, and with the same external origin where there is one. An
   * active origin is suspended, snapshotted and resumed in one native section that always resumes; an inactive one is
   * not touched. The depth of a chain costs nothing.
   *
   * Rejects with `DM_VOLUME_EXISTS` (a given id is taken), `DM_VOLUME_NOT_FOUND`, `DM_POOL_READ_ONLY`,
   * `DM_POOL_FULL`, `DM_POOL_WORN` (after nearly 2^24 snapshots in the pool's life), `DM_NOT_COMMITTED` (the pool took it
   * and could not commit it), and with `activate` whatever that rejects with; the snapshot is then deleted again.
   */
  async snapshot(options: SnapshotOptions = {}): Promise<ThinVolume> {
    checkOptions(options, ['id', 'name', 'activate', 'readOnly', 'signal'], 'snapshot')
    const { signal } = options
    const name = options.name === undefined ? undefined : checkName(options.name)
    const readOnly = checkBoolean('readOnly', options.readOnly)
    const wanted = options.id === undefined ? undefined : checkThinId(options.id)
    if (checkBoolean('activate', options.activate)) this.#sizeFor(undefined)
    return this.#run(async () => {
      // Between the two calls of a pool with a record that is written; an external origin is looked at before each.
      const together = options.activate && !this.#pool.record && this.#externalOrigin === undefined
      const make = (id: number) => this.#createSnap(id, name, together ? { readOnly } : undefined, signal)
      const created = wanted === undefined ? await this.#pool.ids.withNew(signal, make) : await make(wanted)
      const { made, activated } = created
      this.#pool.ids.use(made.id)
      await recordNew(this.#pool, [made.#recorded])
      if (!options.activate) return made
      try {
        if (activated === undefined) return await made.activate({ readOnly, ...(signal && { signal }) })
        await made.#activated(activated.request, activated.outcome)
        return made
      } catch (fault) {
        throw await made.#undoCreation(fault)
      }
    })
  }

  /** Mapped bytes and size, without committing the pool (NOFLUSH). `DM_NOT_ACTIVE` where it has no device. */
  async status(options: SignalOption = {}): Promise<VolumeStatus> {
    checkOptions(options, ['signal'], 'status')
    return this.#run(async () => {
      this.#activeDevice()
      const [up, [line]] = await Promise.all([
        this.#isOwnNow || isUp(this.#pool, options.signal),
        this.#port.tableStatus(this.#address, TABLE_FLAG.noflush, options.signal).catch(this.#gone),
      ])
      if (!up) this.#adopt(undefined)
      if (!up || !line) throw this.#notActive()
      return volumeStatus(line.parameters, line.lengthSectors)
    })
  }

  /** Asks the kernel whether and as what the volume is active, and remembers it. */
  async refresh(options: SignalOption = {}): Promise<boolean> {
    checkOptions(options, ['signal'], 'refresh')
    return this.#run(async () => {
      const up = await isUp(this.#pool, options.signal)
      const all = up ? await this.#port.activeThins(this.#pool.device, options.signal) : []
      this.#adopt(all.find(thin => thin.id === this.id))
      if (this.#device !== undefined) {
        const [line] = await this.#port.tableStatus(
          this.#address,
          TABLE_FLAG.table | TABLE_FLAG.noflush,
          options.signal,
        )
        if (line) this.#sizeBytes = line.lengthSectors * SECTOR_BYTES
        if (line) this.#externalOrigin = externalOriginIn(line)
      }
      return this.active
    })
  }

  /**
   * Deletes the volume from the pool; blocks that only it had are free then. It must be inactive
   * (`DM_VOLUME_ACTIVE`). The kernel's time grows with the blocks that only this volume has. Rejects with
   * `DM_NOT_COMMITTED` where the pool took it and could not commit it: the volume may be there again.
   */
  async delete(options: SignalOption = {}): Promise<void> {
    checkOptions(options, ['signal'], 'delete')
    await this.#run(() => this.#delete(options.signal))
  }

  /** `deactivate()` and `delete()`. */
  async destroy(options: DeactivateOptions = {}): Promise<void> {
    checkOptions(options, ['timeoutMs', 'signal'], 'destroy')
    const limit = checkNumber('timeoutMs', options.timeoutMs ?? DEFAULT_TIMEOUT_MS, { min: 0 })
    await this.#run(async () => {
      await this.#deactivate(limit, options.signal)
      await this.#delete(options.signal)
    })
  }

  /** Waits for the calls under way on this object and lets nothing new in. The device and the volume stay. */
  async close(): Promise<void> {
    await this.#pending.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** @internal Whether the volume belongs to this pool. */
  belongsTo(pool: PoolContext): boolean {
    return this.#pool === pool
  }

  /**
   * @internal What one of many needs. `request` throws what can be known before the kernel is asked; the calls count as
   * under way while the promise given to `enter` runs; `settle` takes over the outcome, or throws.
   */
  get batch(): VolumeBatch {
    return (this.#batch ??= {
      pending: this.#pending,
      unchecked: this.#unchecked,
      snapshotRequest: ids => this.#snapshotRequest(ids),
      activateRequest: (readOnly, originOf) =>
        this.#activateRequest(
          this.#name,
          this.#sizeFor(undefined),
          readOnly,
          this.#externalOrigin && originOf(this.#externalOrigin),
        ),
      activated: (request, outcome) => this.#activated(request, outcome),
      address: () => this.#address,
      isOwnNow: () => this.#isOwnNow,
      recorded: () => this.#recorded,
      deactivated: (outcome, started) => this.#deactivated(outcome, started),
      deleted: outcome => this.#deleted(outcome),
    })
  }

  get #recorded(): readonly [number, VolumeRecord] {
    const { id, name, sizeBytes, externalOrigin, origin } = this
    return [id, { name, sizeBytes, externalOrigin, origin }]
  }

  get #port() {
    return this.#pool.port
  }

  #run<T>(body: () => Promise<T>): Promise<T> {
    return this.#pending.run(body)
  }

  #activeDevice(): number {
    if (this.#device === undefined) throw this.#notActive()
    return this.#device
  }

  #notActive(): DmThinError {
    return new DmThinError('DM_NOT_ACTIVE', `volume ${this.id} of pool ${this.#pool.name} is not active`, {
      device: this.#name,
    })
  }

  readonly #gone = (fault: unknown): never => {
    if (fault instanceof DmThinError && fault.code === 'DM_NOT_FOUND') {
      this.#device = undefined
      throw this.#notActive()
    }
    throw fault
  }

  #sizeFor(given: number | undefined): number {
    const size = given ?? this.#sizeBytes
    if (size !== undefined) return checkVolumeSize(size)
    throw new DmThinError(
      'DM_SIZE_UNKNOWN',
      `the size of volume ${this.id} is not known: a pool stores no sizes; pass sizeBytes`,
    )
  }

  #adopt(active: ActiveThin | undefined): void {
    this.#device = active?.device
    this.#foreign = active && active.uuid !== this.#uuid ? addressOf(active) : undefined
    if (active) this.#name = active.name
  }

  #activateRequest(name: string, sizeBytes: number, readOnly: boolean, externalOrigin?: string): ActivateRequest {
    const thin = { lengthSectors: sectors(sizeBytes), poolDevice: this.#pool.number, id: this.id, externalOrigin }
    const table = [thinTableLine(thin)]
    return { name, uuid: this.#uuid, table, readOnly, thinId: this.id }
  }

  async #activated({ name, table }: ActivateRequest, outcome: Outcome): Promise<void> {
    if (typeof outcome !== 'number') {
      const fault = await originInUse(this.#pool, table[0]!, await explain(this.#pool, outcome))
      throw await whoHasName(this.#pool, this.id, fault)
    }
    const sizeBytes = table[0]!.lengthSectors * SECTOR_BYTES
    await this.#settle(name, outcome, sizeBytes)
    this.#device = outcome
    this.#name = name
    this.#sizeBytes = sizeBytes
  }

  /** Its link in /dev/mapper and its entry in the record, where there are such. Without them the device does not stay. */
  async #settle(name: string, device: number, sizeBytes: number): Promise<void> {
    if (!this.#pool.mapperLinks && !this.#pool.record) return
    const undo = new Undo()
    undo.push('DM_DEV_REMOVE', name, () => this.#port.remove(this.#address, DEFAULT_TIMEOUT_MS))
    await undo.guard(async () => {
      await recordActive(this.#pool, this.id, name, sizeBytes)
      if (this.#pool.mapperLinks) this.#port.mapperLinks.make(name, device)
    })
  }

  async #deactivate(limitMs: number, signal?: AbortSignal): Promise<void> {
    const started = performance.now()
    const pool = this.#isOwnNow ? undefined : knownPool(this.#pool)
    const call = this.#port.deactivate(pool, this.#address, limitMs, signal)
    await this.#deactivated(await outcomeOf(call), started)
  }

  async #deactivated(outcome: Outcome, started: number): Promise<void> {
    if (typeof outcome !== 'number' && outcome.code !== 'DM_NOT_FOUND') {
      throw await withHolders(this.#port, { device: this.#device ?? 0, name: this.#name, started }, outcome)
    }
    this.#adopt(undefined) // first: the device is gone, whatever becomes of its link
    this.#port.mapperLinks.drop(this.#name)
  }

  async #delete(signal?: AbortSignal): Promise<void> {
    await this.#deleted(await outcomeOf(changePool(this.#pool, message.delete(this.id), signal)))
    await recordDeleted(this.#pool, [this.id])
  }

  async #deleted(outcome: Outcome): Promise<void> {
    if (typeof outcome !== 'number') throw await explain(this.#pool, outcome)
    this.#pool.ids.free(this.id)
  }

  /** `activation`: activates it in the same call. */
  async #createSnap(
    id: number,
    name: string | undefined,
    activation: { readonly readOnly: boolean } | undefined,
    signal?: AbortSignal,
  ): Promise<CreatedSnapshot> {
    const { sizeBytes, externalOrigin, id: origin } = this
    const made = new ThinVolume(this.#pool, { id, name, sizeBytes, externalOrigin, origin })
    const wanted = this.#snapshotRequest([id])
    // Nobody can have the id active that the pool did not have until now.
    const guard = activationGuard(this.#pool, true)
    const request = activation && made.#activateRequest(made.name, this.#sizeFor(undefined), activation.readOnly)
    const send = async () => {
      if (request) return sendSnapshotActive(this.#pool, wanted, { ...request, guard }, signal)
      const [item] = await sendSnapshots(this.#pool, wanted, signal)
      return { item: item!, activated: undefined }
    }
    const { item, activated } = await this.#pool.clock.counted(this.#pool.name, 1, send)
    if (item.errno !== 0) throw await snapshotRefused(this.#pool, item, this.id, signal)
    return { made, activated: request && activated !== undefined ? { request, outcome: activated } : undefined }
  }

  #snapshotRequest(ids: readonly number[]): SnapshotRequest {
    const ownPrefix = this.#unchecked ? '' : volumeUuidPrefix(this.#pool)
    return {
      pool: knownPool(this.#pool),
      ownPrefix,
      originUuid: this.#uuid,
      originId: this.id,
      ids,
      committed: isCommitted(this.#pool),
    }
  }

  async #undoCreation(fault: unknown): Promise<unknown> {
    if (!(fault instanceof DmThinError)) return fault
    const step = await deleteAgain(this.#pool, this.id)
    if (step.errno === 0) await recordDeleted(this.#pool, [this.id]).catch(() => {})
    return fault.refined(fault.code, fault.message, { rollback: [...fault.rollback, step] })
  }
}
