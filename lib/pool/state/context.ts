// The state that a pool and its volumes share. Volumes refer to it and not to the pool, so that neither file imports
// the other.
import { undefinedIf, DmThinError } from '../../base/errors.js'
import type { Pending } from '../../base/pending.js'
import { TABLE_FLAG, type DeviceAddress, type TargetLine } from '../../kernel/port/device-port.js'
import type { ActivationGuard, Inventory, KnownPool, RemovalGuard } from '../../kernel/port/pool-port.js'
import type { KernelPort } from '../../kernel/port/kernel-port.js'
import { deviceNumber } from '../../base/device-number.js'
import { parsePoolStatus, parsePoolTable, type PoolTable } from '../../target/thin-pool.js'
import type { Durability } from './durability.js'
import type { ThinIds } from './thin-ids.js'
import type { PoolRecord } from './record.js'
import type { SnapshotClock } from './snapshot-clock.js'
import type { Reserve } from './space-reserve.js'

export interface PoolContext {
  readonly port: KernelPort
  /** The name for messages and for the lock. */
  readonly name: string
  /** The address of the pool in every call: its uuid or, if it has none, its device number. */
  readonly address: DeviceAddress
  /** The pool's device number, which the tables of its volumes contain. */
  readonly device: number
  /** `253:0` */
  readonly number: string
  /** The uuid of the pool's device; it changes with each start. */
  readonly uuid: string
  readonly dataBlockBytes: number
  /** True if activated volumes get a link in /dev/mapper when udev does not create it. */
  readonly mapperLinks: boolean
  readonly durability: Durability
  readonly record: PoolRecord | undefined
  /** `7:1`, as it stands in the table. */
  readonly metadataDevice: string
  /** `/dev/loop1`: what the metadata lies on, for as long as the pool runs. */
  readonly metadataPath: string
  readonly pending: Pending
  readonly ids: ThinIds
  readonly clock: SnapshotClock
  readonly reserve: Reserve
  /** The numbers that the keepers of this object have counted. */
  readonly counts: { waits: number; growths: number }
  readonly resumes: PoolResumes
}

/** The way in which resumes of the pool are waited for. */
export interface PoolResumes {
  /** Resolves as the resume does, and helps it to end. Set by the active keeper of this object. */
  watch: ((resume: Promise<unknown>) => Promise<void>) | undefined
}

/** Prefix of the uuid of a pool that this library has started. The rest is new at each start. */
export const POOL_UUID_PREFIX = 'DMTHIN-POOL-'

type PoolIdentity = Pick<KnownPool, 'device' | 'uuid'>

/** Returns the words by which files of /run identify a start of the pool. */
export const startOf = ({ device, uuid }: PoolIdentity): string => `${device} ${uuid}`

/**
 * Returns whether the uuid of a volume names this start of the pool. If it does, a device with that uuid is a volume of
 * this pool, and a call need not ask whether the pool still runs.
 */
export const isNamedByVolumes = ({ uuid }: Pick<PoolIdentity, 'uuid'>): boolean => uuid.startsWith(POOL_UUID_PREFIX)

/**
 * Returns the prefix of the uuids of a pool's active volumes. The uuid of an active volume is this prefix and its id. It is the same in every process, and the kernel refuses a
 * second device with the same uuid: that makes it the guard against activating one volume twice. In it are the random
 * part of the pool's uuid or, if another program has started the pool, the pool's device number: thins cannot outlive
 * the pool's mapped device.
 */
export const volumeUuidPrefix = (pool: PoolIdentity): string =>
  `DMTHIN-${isNamedByVolumes(pool) ? pool.uuid.slice(POOL_UUID_PREFIX.length) : deviceNumber(pool.device)}-`

/** Returns the guard of an activation. `unchecked`: no search for devices of other programs. */
export const activationGuard = (pool: PoolContext, unchecked: boolean): ActivationGuard => ({
  pool: knownPool(pool),
  ownPrefix: unchecked ? '' : volumeUuidPrefix(pool),
})

/** Returns the guard of removals. `looks`: whether the pool may have been replaced since. */
export const removalGuard = (pool: PoolContext, looks: boolean): RemovalGuard => ({ pool: knownPool(pool), looks })

export const knownPool = ({ device, name, uuid }: PoolContext): KnownPool => ({ device, name, uuid })

/**
 * Returns the address that stays with a device: its uuid or, if it has none, its number. Errors refer to it by name.
 */
export const addressOf = ({ name, uuid, device }: KnownPool): DeviceAddress =>
  uuid === '' ? { device, label: name } : { uuid, label: name }

/**
 * Returns true if the pool still runs on its device number. If not, none of its volumes is active, because thin devices
 * cannot outlive their pool. Another pool may have been assigned the number, with volumes of the same ids and therefore
 * the same uuids.
 */
export async function isUp({ port, name, uuid, device }: PoolContext, signal?: AbortSignal): Promise<boolean> {
  const info = await port.deviceStatus({ device }, signal).catch(undefinedIf('DM_NOT_FOUND'))
  return info !== undefined && (uuid === '' ? info.name === name : info.uuid === uuid)
}

export async function checkUp(pool: PoolContext, signal?: AbortSignal): Promise<void> {
  if (!(await isUp(pool, signal))) throw removed(pool)
}

/** Returns the pool and its devices, with one native call. Rejects with `DM_NOT_FOUND` if the pool was removed. */
export async function inventoryOf(pool: PoolContext, signal?: AbortSignal): Promise<Inventory> {
  const found = await pool.port.inventory(pool.address, signal).catch(undefinedIf('DM_NOT_FOUND'))
  // A pool that has no uuid is addressed by its number, which may be another device's by now.
  const isSame = found && (pool.uuid === '' ? found.pool.name === pool.name : found.pool.uuid === pool.uuid)
  if (!isSame) throw removed(pool)
  return found
}

function removed(pool: PoolContext): DmThinError {
  const text = `pool ${pool.name} was removed after it was opened here: open it again`
  return new DmThinError('DM_NOT_FOUND', text, { device: pool.name })
}

/** The fields needed to query a pool. */
export type PoolAddress = Pick<PoolContext, 'port' | 'name' | 'address'>

export async function poolTable({ port, name, address }: PoolAddress, signal?: AbortSignal): Promise<PoolTable> {
  const lines = await port.tableStatus(address, TABLE_FLAG.table | TABLE_FLAG.noflush, signal)
  return tableOfPool(name, lines)
}

/** Rejects what is not a pool's table. */
export function tableOfPool(name: string, [line]: readonly TargetLine[]): PoolTable {
  if (line?.type !== 'thin-pool') {
    const what = line ? `a ${line.type} device` : 'a device without a table'
    throw new DmThinError('DM_NOT_A_POOL', `${JSON.stringify(name)} is ${what}, not a thin pool`, { device: name })
  }
  return parsePoolTable(line)
}

/** Returns the pool's status line, without a commit. */
export async function poolStatusLine(
  { port, address }: PoolAddress,
  signal?: AbortSignal,
): Promise<ReturnType<typeof parsePoolStatus>> {
  const [line] = await port.tableStatus(address, TABLE_FLAG.noflush, signal)
  return parsePoolStatus(line?.parameters ?? '')
}
