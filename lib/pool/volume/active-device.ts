// Search for the device of one active volume.
import { undefinedIf } from '../../base/errors.js'
import { DEVICE_FLAG, TABLE_FLAG, type DeviceAddress, type TargetLine } from '../../kernel/port/device-port.js'
import type { ActiveThin } from '../../kernel/port/pool-port.js'
import { addressOf, checkUp, isNamedByVolumes, volumeUuidPrefix, type PoolContext } from '../state/context.js'

/** A device of a volume with the line of its table. */
export interface ActiveDevice extends ActiveThin {
  readonly line: TargetLine
}

/**
 * Returns the active device of a volume. One native call suffices if this library activated it in a pool that it has
 * started; otherwise every device that holds the pool is examined. Rejects with `DM_NOT_FOUND` if the pool was removed.
 */
export async function activeDevice(
  pool: PoolContext,
  id: number,
  signal?: AbortSignal,
): Promise<ActiveDevice | undefined> {
  const own = await ownActive(pool, id, signal)
  if (own && isNamedByVolumes(pool)) return own
  await checkUp(pool, signal)
  if (own) return own
  const others = await pool.port.foreignThins(pool.device, volumeUuidPrefix(pool), signal)
  const other = others.find(thin => thin.id === id)
  return other && deviceAt(pool, addressOf(other), id, signal)
}

/** Returns the volume's own device, once it has a table: before, somebody is just activating it, or has died of it. */
export const ownActive = (pool: PoolContext, id: number, signal?: AbortSignal): Promise<ActiveDevice | undefined> =>
  deviceAt(pool, { uuid: volumeUuidPrefix(pool) + id }, id, signal)

async function deviceAt(
  { port }: PoolContext,
  address: DeviceAddress,
  id: number,
  signal?: AbortSignal,
): Promise<ActiveDevice | undefined> {
  const flags = TABLE_FLAG.table | TABLE_FLAG.noflush
  const found = await port.deviceLines(address, flags, signal).catch(undefinedIf('DM_NOT_FOUND'))
  const line = found?.targets[0]
  if (!found || !line || (found.info.flags & DEVICE_FLAG.activeTable) === 0) return undefined
  const { name, uuid, device } = found.info
  return { name, uuid, device, id, line }
}
