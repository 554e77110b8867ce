// What is known of one volume, and what the kernel's answers make of it: for calls of one volume and of many.
import { deviceMinor } from '../../base/device-number.js'
import { DmThinError } from '../../base/errors.js'
import { Pending } from '../../base/pending.js'
import { Rollback } from '../../base/rollback.js'
import { SECTOR_BYTES, sectors } from '../../base/units.js'
import { withHolders } from '../../block/holders.js'
import type { DeviceAddress } from '../../kernel/port/device-port.js'
import type { ActivateRequest, ActiveThin, Outcome, SnapshotRequest } from '../../kernel/port/pool-port.js'
import { thin } from '../../target/thin.js'
import { isCommitted } from '../state/commit-point.js'
import { addressOf, isNamedByVolumes, knownPool, volumeUuidPrefix, type PoolContext } from '../state/context.js'
import { explain } from '../state/explain-error.js'
import type { VolumeRecord } from '../state/record.js'
import { originInUse } from './external-origin.js'
import { recordActive } from './recorded.js'
import { whoHasName } from './snapshot-error.js'
import { checkVolumeSize, DEFAULT_TIMEOUT_MS, type VolumeIdentity } from './volume-options.js'

export class VolumeState {
  readonly pool: PoolContext
  readonly id: number
  readonly origin: number | undefined
  /** Whether its activation looks at no other devices. */
  readonly unchecked: boolean
  readonly pending: Pending
  name: string
  sizeBytes: number | undefined
  externalOrigin: string | undefined
  /** The number of its mapped device; undefined while it has none. */
  device: number | undefined
  /** Set if another program activated it: then it has a uuid of its own, or none. */
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

  /** Whether a device at its address cannot be a volume of another pool. */
  get isOwnNow(): boolean {
    return this.#foreign === undefined && isNamedByVolumes(this.pool)
  }

  get address(): DeviceAddress {
    return this.#foreign ?? { uuid: this.uuid, label: this.name }
  }

  /** Throws `DM_NOT_ACTIVE` while it has no device. */
  activeDevice(): number {
    if (this.device === undefined) throw this.notActive()
    return this.device
  }

  get path(): string {
    return `/dev/dm-${deviceMinor(this.activeDevice())}`
  }

  /** Its entry in the pool's record. */
  get recorded(): readonly [id: number, volume: VolumeRecord] {
    const { id, name, sizeBytes, externalOrigin, origin } = this
    return [id, { name, sizeBytes, externalOrigin, origin }]
  }

  notActive(): DmThinError {
    const text = `volume ${this.id} of pool ${this.pool.name} is not active`
    return new DmThinError('DM_NOT_ACTIVE', text, { device: this.name })
  }

  /** Takes over what the kernel has as its device; undefined: none. */
  adopt(active: ActiveThin | undefined): void {
    this.device = active?.device
    this.#foreign = active && active.uuid !== this.uuid ? addressOf(active) : undefined
    if (active) this.name = active.name
  }

  /** The size to activate it with. Throws `DM_SIZE_UNKNOWN`. */
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

  /** Takes over what became of an activation; throws if the kernel refused it. */
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
    this.adopt(undefined) // first: the device is gone, whatever becomes of its link
    port.mapperLinks.drop(this.name)
  }

  async deleted(outcome: Outcome): Promise<void> {
    if (typeof outcome !== 'number') throw await explain(this.pool, outcome)
    this.pool.ids.free(this.id)
  }

  /** Its link in /dev/mapper and its entry in the record, if there are such. Without them the device does not stay. */
  async #settle(name: string, device: number, sizeBytes: number): Promise<void> {
    const { port, record, mapperLinks } = this.pool
    if (!mapperLinks && !record) return
    const rollback = new Rollback()
    rollback.push('DM_DEV_REMOVE', name, () => port.remove(this.address, DEFAULT_TIMEOUT_MS))
    await rollback.guard(async () => {
      await recordActive(this.pool, this.id, name, sizeBytes)
      if (mapperLinks) port.mapperLinks.make(name, device)
    })
  }
}
