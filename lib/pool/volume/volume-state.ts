// The state of one volume, and how results of the kernel change it. Calls on one volume and on many share it.
import { deviceMinor } from '../../base/device-number.js'
import { DmThinError } from '../../base/errors.js'
import { Pending } from '../../base/pending.js'
import { Rollback } from '../../base/rollback.js'
import { SECTOR_BYTES, sectors } from '../../base/units.js'
import { withHolders } from '../../block/holders.js'
import { BUSY_RETRY_MS, DEVICE_FLAG, type DeviceAddress } from '../../kernel/port/device-port.js'
import type {
  ActivateRequest,
  ActiveThin,
  Outcome,
  RemovedVolume,
  SnapshotRequest,
} from '../../kernel/port/pool-port.js'
import { thin } from '../../target/thin.js'
import { isCommitted } from '../state/commit-point.js'
import { addressOf, isNamedByVolumes, knownPool, volumeUuidPrefix, type PoolContext } from '../state/context.js'
import { explain } from '../state/explain-error.js'
import type { VolumeRecord } from '../state/record.js'
import { originInUse } from './external-origin.js'
import { recordActive } from './recorded.js'
import { whoHasName } from './snapshot-error.js'
import { checkVolumeSize, type VolumeIdentity } from './volume-options.js'

export class VolumeState {
  readonly pool: PoolContext
  readonly id: number
  readonly origin: number | undefined
  /** True if activation does not look at other devices. */
  readonly unchecked: boolean
  readonly pending: Pending
  name: string
  sizeBytes: number | undefined
  externalOrigin: string | undefined
  /** A value that the pool's snapshot clock has reached, if this object created the volume as a snapshot. */
  snapshotTime: number | undefined
  /** The number of its mapped device; undefined while it is inactive. */
  device: number | undefined
  /** The address of a device that another program activated, which has a different uuid or none. */
  #foreign: DeviceAddress | undefined

  constructor(pool: PoolContext, identity: VolumeIdentity) {
    this.pool = pool
    this.id = identity.id
    this.origin = identity.origin
    this.unchecked = identity.unchecked ?? false
    this.pending = new Pending(`volume ${identity.id} of pool ${pool.name}`, pool.pending)
    this.name = identity.name ?? `${pool.name}-${identity.id}`
    this.sizeBytes = identity.sizeBytes
    this.externalOrigin = identity.externalOrigin
    if (identity.active) this.adopt(identity.active)
  }

  get uuid(): string {
    return volumeUuidPrefix(this.pool) + this.id
  }

  /** True if a device at its address cannot be a volume of another pool. */
  get isOwnNow(): boolean {
    return this.#foreign === undefined && isNamedByVolumes(this.pool)
  }

  get address(): DeviceAddress {
    return this.#foreign ?? { uuid: this.uuid, label: this.name }
  }

  get removed(): RemovedVolume {
    return { address: this.address, thinId: this.id }
  }

  /** Returns the device number. Throws `DM_NOT_ACTIVE` while the volume has no device. */
  activeDevice(): number {
    if (this.device === undefined) throw this.notActive()
    return this.device
  }

  get path(): string {
    return `/dev/dm-${deviceMinor(this.activeDevice())}`
  }

  /** The volume's entry in the pool's record. */
  get recorded(): readonly [id: number, volume: VolumeRecord] {
    const { id, name, sizeBytes, externalOrigin, origin } = this
    return [id, { name, sizeBytes, externalOrigin, origin }]
  }

  notActive(): DmThinError {
    const text = `volume ${this.id} of pool ${this.pool.name} is not active`
    return new DmThinError('DM_NOT_ACTIVE', text, { device: this.name })
  }

  /** Sets the volume's device as the kernel reports it; undefined: inactive. */
  adopt(active: ActiveThin | undefined): void {
    this.device = active?.device
    this.#foreign = active && active.uuid !== this.uuid ? addressOf(active) : undefined
    if (active) this.name = active.name
  }

  /** Returns the flags of the volume's device. Throws `DM_BUSY` if somebody has suspended it. */
  async flagsOfRunning(signal?: AbortSignal): Promise<number> {
    const { flags } = await this.pool.port.deviceStatus(this.address, signal)
    if ((flags & DEVICE_FLAG.suspended) === 0) return flags
    const text = `volume ${this.id} of pool ${this.pool.name} is suspended: resume it with \`dmsetup resume ${this.name}\``
    throw new DmThinError('DM_BUSY', text, { device: this.name })
  }

  /**
   * Resumes the volume's device if it is suspended. The caller holds the lock of the thin id, which whoever suspends the
   * device holds exclusively: so it was suspended by a process that has ended, or by another program.
   */
  async resumeLeft(): Promise<void> {
    const { flags } = await this.pool.port.deviceStatus(this.address)
    const { suspended, internalSuspend } = DEVICE_FLAG
    if ((flags & suspended) !== 0 && (flags & internalSuspend) === 0) await this.pool.port.resume(this.address)
  }

  /** Returns the size for an activation. Throws `DM_SIZE_UNKNOWN`. */
  sizeFor(given?: number): number {
    const size = given ?? this.sizeBytes
    if (size !== undefined) return checkVolumeSize(size)
    const text = `the size of volume ${this.id} is not known: a pool stores no sizes; pass sizeBytes`
    throw new DmThinError('DM_SIZE_UNKNOWN', text)
  }

  activateRequest(name: string, sizeBytes: number, readOnly: boolean, externalOrigin?: string): ActivateRequest {
    const origin = externalOrigin !== undefined && { externalOrigin }
    const segment = thin({ lengthSectors: sectors(sizeBytes), poolDevice: this.pool.number, id: this.id, ...origin })
    return { name, uuid: this.uuid, table: [{ startSectors: 0, ...segment }], readOnly, thinId: this.id }
  }

  snapshotRequest(ids: readonly number[]): SnapshotRequest {
    return {
      pool: knownPool(this.pool),
      ownPrefix: this.unchecked ? '' : volumeUuidPrefix(this.pool),
      originUuid: this.uuid,
      originId: this.id,
      ids,
      committed: isCommitted(this.pool),
    }
  }

  /** Applies the outcome of an activation. Throws if the kernel rejected it. */
  async activated({ name, table }: ActivateRequest, outcome: Outcome): Promise<void> {
    if (typeof outcome !== 'number') {
      const fault = await originInUse(this.pool, table[0]!, await explain(this.pool, outcome))
      throw await whoHasName(this.pool, this.id, fault)
    }
    const sizeBytes = table[0]!.lengthSectors * SECTOR_BYTES
    await this.#settle(name, outcome, sizeBytes)
    this.device = outcome
    this.name = name
    this.sizeBytes = sizeBytes
  }

  async deactivated(outcome: Outcome, started: number): Promise<void> {
    const { port } = this.pool
    if (typeof outcome !== 'number' && outcome.code !== 'DM_NOT_FOUND') {
      throw await withHolders(port, { device: this.device ?? 0, name: this.name, started }, outcome)
    }
    this.adopt(undefined) // First: the device is gone, whether or not its link can be removed.
    port.mapperLinks.drop(this.name)
  }

  async deleted(outcome: Outcome): Promise<void> {
    if (typeof outcome !== 'number') throw await explain(this.pool, outcome)
    this.pool.ids.free(this.id)
  }

  /**
   * Creates the link in /dev/mapper and the entry in the record, if the pool has them. If that fails, removes the
   * device.
   */
  async #settle(name: string, device: number, sizeBytes: number): Promise<void> {
    const { port, record, mapperLinks } = this.pool
    if (!mapperLinks && !record) return
    const rollback = new Rollback()
    rollback.push('DM_DEV_REMOVE', name, () => port.remove(this.address, BUSY_RETRY_MS))
    await rollback.guard(async () => {
      await recordActive(this.pool, this.id, name, sizeBytes)
      if (mapperLinks) port.mapperLinks.make(name, device)
    })
  }
}
