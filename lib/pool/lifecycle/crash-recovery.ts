// Recovery of state left by a process that crashed within a compound call, run when a pool is opened. The pool's lock
// tells a crash from a call in progress: compound calls hold it shared, and a flock ends with its holder. Calls that
// remove a volume hold only the lock of its thin id.
import { undefinedIf, type DmThinError } from '../../base/errors.js'
import { DEVICE_FLAG, type DeviceInfo } from '../../kernel/port/device-port.js'
import type { KernelPort } from '../../kernel/port/kernel-port.js'
import type { Inventory, KnownPool, ListedThin } from '../../kernel/port/pool-port.js'
import { parsePoolStatus } from '../../target/thin-pool.js'
import { addressOf, POOL_UUID_PREFIX, volumeUuidPrefix } from '../state/context.js'
import type { PoolLock } from '../state/locks.js'
import { endDeadKeeper } from './keeper-mark.js'

/** An inconsistency that a crashed process may have left, and the action that `open` took. */
export interface Finding {
  /**
   * `suspended-volume`: left between suspend and resume, with its I/O blocked. `half-made-volume`: created, but without
   * a table. `abandoned-table`: a new table was loaded and never made live. `suspended-pool`: not touched, because only
   * an operator suspends a pool. `dead-keeper`: a keeper was killed; the pool has its options without a keeper again.
   * `needs-check`: the pool's metadata needs a check, so the pool accepts no changes and cannot grow; or the pool has
   * failed. `not-checked`: nothing was examined, because /run is not writable and other processes cannot be excluded.
   * Findings about the record: `record-missing` and `record-damaged`, its names and sizes are unknown again;
   * `record-differs`, an option or the length of the pool differs; `volume-missing`, the pool does not have a recorded
   * volume; `volume-not-recorded`, the record does not have a volume of the pool. `volume-inactive`: the option
   * `activate` names the volume, and it could not be activated.
   */
  readonly kind:
    | 'suspended-volume'
    | 'half-made-volume'
    | 'abandoned-table'
    | 'suspended-pool'
    | 'dead-keeper'
    | 'needs-check'
    | 'not-checked'
    | 'record-missing'
    | 'record-damaged'
    | 'record-differs'
    | 'volume-missing'
    | 'volume-not-recorded'
    | 'volume-inactive'
  /** Name of the mapped device. */
  readonly device: string
  /**
   * The action taken. `resumed`: a suspended volume was resumed. `removed`: a volume without a table was removed.
   * `cleared`: a table that was not live was dropped. `restored`: the pool has its options without a keeper again, and no spare blocks of it.
   * `rebuilt` and `dropped`: the record was written again, or an
   * entry was deleted from it. `none`: nothing was changed, also if the device belongs to another program: it has no
   * uuid of this library.
   */
  readonly action: 'resumed' | 'removed' | 'cleared' | 'restored' | 'rebuilt' | 'dropped' | 'none'
  /** For a finding about the record: the file, the difference, or the thin id. */
  readonly detail?: string
  /** The error, if the action failed. */
  readonly error?: DmThinError
}

export async function repairPool(port: KernelPort, { pool, thins }: Inventory, lock: PoolLock): Promise<Finding[]> {
  const { name, flags } = pool
  if (!lock.complete) return [{ kind: 'not-checked', device: name, action: 'none' }]
  if ((flags & DEVICE_FLAG.suspended) !== 0) {
    return [{ kind: 'suspended-pool', device: name, action: 'none' }] // its volumes are suspended too
  }
  const findings: Finding[] = []
  const ownPool = pool.uuid.startsWith(POOL_UUID_PREFIX)
  if ((flags & DEVICE_FLAG.inactiveTable) !== 0) findings.push(await clearTable(port, pool, ownPool))
  findings.push(...(await repairKept(port, pool)))
  const prefix = volumeUuidPrefix(pool)
  for (const volume of thins.filter(mayBeLeft)) {
    const own = volume.uuid.startsWith(prefix)
    const id = own ? lockedId(volume) : volume.id
    findings.push(...(await lock.withThin(name, id, () => repairVolume(port, volume, own))))
  }
  return findings
}

/**
 * Returns the id that calls lock: it is at the end of the uuid, also in that of a spare's device (`…-spare-7`). Within a
 * reset, the table has another one.
 */
function lockedId({ uuid, id }: ListedThin): number {
  const inUuid = /-(\d{1,8})$/.exec(uuid)?.[1]
  return inUuid === undefined ? id : Number(inUuid)
}

/** Returns true if a crashed process may have left the device in this state. */
function mayBeLeft({ flags }: ListedThin): boolean {
  const { activeTable, inactiveTable, suspended } = DEVICE_FLAG
  return (flags & activeTable) === 0 || (flags & (inactiveTable | suspended)) !== 0
}

/** Returns a finding if the pool needs a check. Runs even without repair, because it changes nothing. */
export function conditionOf({ pool, status }: Inventory): Finding[] {
  const line = parsePoolStatus(status[0]?.parameters ?? '')
  const needsCheck = !('transactionId' in line) || line.needsCheck
  return needsCheck ? [{ kind: 'needs-check', device: pool.name, action: 'none' }] : []
}

/**
 * Repairs a volume of this library (`own`). A volume of another program is only reported: that program may be working
 * on it.
 */
async function repairVolume(port: KernelPort, volume: KnownPool, own: boolean): Promise<Finding[]> {
  const address = addressOf(volume)
  const found = await port.deviceStatus(address).catch(undefinedIf('DM_NOT_FOUND'))
  if (!found) return [] // removed concurrently
  const { name, flags, openCount } = found
  const has = (flag: number) => (flags & flag) !== 0
  if (!has(DEVICE_FLAG.activeTable)) {
    if (openCount > 0) return []
    return [await repaired('half-made-volume', name, 'removed', own && (() => port.remove(address, 5_000)))]
  }
  const findings: Finding[] = []
  if (has(DEVICE_FLAG.inactiveTable)) findings.push(await clearTable(port, found, own))
  if (has(DEVICE_FLAG.suspended) && !has(DEVICE_FLAG.internalSuspend)) {
    findings.push(await repaired('suspended-volume', name, 'resumed', own && (() => port.resume(address))))
  }
  return findings
}

async function repairKept(port: KernelPort, pool: DeviceInfo): Promise<Finding[]> {
  const found = { kind: 'dead-keeper', device: pool.name } as const
  return endDeadKeeper(port, pool).then(
    was => (was ? [{ ...found, action: 'restored' }] : []),
    (error: DmThinError) => [{ ...found, action: 'none', error }],
  )
}

const clearTable = (port: KernelPort, device: KnownPool, own: boolean): Promise<Finding> =>
  repaired('abandoned-table', device.name, 'cleared', own && (() => port.tableClear(addressOf(device))))

async function repaired(
  kind: Finding['kind'],
  device: string,
  action: Finding['action'],
  act: false | (() => Promise<unknown>),
): Promise<Finding> {
  if (act === false) return { kind, device, action: 'none' }
  return act().then(
    () => ({ kind, device, action }),
    (error: DmThinError) => ({ kind, device, action: 'none' as const, error }),
  )
}
