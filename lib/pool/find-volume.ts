// The object of a volume that there is: inactive, or active as whoever activated it.
import type { DmThinError } from '../errors.js'
import { TABLE_FLAG, type ActiveThin } from '../kernel/port.js'
import { sectorsToBytes } from '../units.js'
import { addressOf, volumeUuidPrefix, type PoolContext } from './context.js'
import { externalOriginIn } from './external-origin.js'
import { ThinVolume, type VolumeIdentity } from './thin-volume.js'

/** One question where this library activated it; only else a look at every device that holds the pool. */
export async function activeAs(pool: PoolContext, id: number, signal?: AbortSignal): Promise<ActiveThin | undefined> {
  const { port, device } = pool
  const own = await ownActive(pool, id, signal)
  if (own) return own
  return (await port.foreignThins(device, volumeUuidPrefix(device), signal)).find(thin => thin.id === id)
}

export async function ownActive(
  { port, device }: PoolContext,
  id: number,
  signal?: AbortSignal,
): Promise<ActiveThin | undefined> {
  const own = await port.deviceStatus({ uuid: volumeUuidPrefix(device) + id }, signal).catch(ifGone)
  return own && { ...own, id }
}

export async function volumeOf(
  pool: PoolContext,
  id: number,
  active: ActiveThin | undefined,
  given: Pick<VolumeIdentity, 'sizeBytes' | 'externalOrigin' | 'unasked'>,
  signal?: AbortSignal,
): Promise<ThinVolume> {
  const inactive = () => new ThinVolume(pool, { id, ...given })
  if (!active) return inactive()
  const flags = TABLE_FLAG.table | TABLE_FLAG.noflush
  const lines = await pool.port.tableStatus(addressOf(active), flags, signal).catch(ifGone)
  if (!lines) return inactive() // somebody deactivated it since
  const [line] = lines
  const found = line && { sizeBytes: sectorsToBytes(line.lengthSectors), externalOrigin: externalOriginIn(line) }
  return new ThinVolume(pool, { id, ...given, ...found, active })
}

function ifGone(fault: DmThinError): undefined {
  if (fault.code !== 'DM_NOT_FOUND') throw fault
}
