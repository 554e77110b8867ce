// Search for an existing volume: inactive, or active, whoever activated it.
import { undefinedIf, DmThinError } from '../../base/errors.js'
import { DEVICE_FLAG, TABLE_FLAG } from '../../kernel/port/device-port.js'
import type { ActiveThin } from '../../kernel/port/pool-port.js'
import { checkBoolean, checkOptions } from '../../base/options.js'
import { sectorsToBytes } from '../../base/units.js'
import { addressOf, checkUp, volumeUuidPrefix, type PoolContext } from '../state/context.js'
import { thinIds } from '../state/live-metadata.js'
import { externalOriginIn, originPath } from './external-origin.js'
import { recordOf } from './recorded.js'
import { ThinVolume } from './thin-volume.js'
import { checkVolumeSize, type FindVolumeOptions, type VolumeIdentity } from './volume-options.js'

type Given = Omit<VolumeIdentity, 'id' | 'active'>

/** The devices to look at: none, the volume's own one, or every device together with the pool's metadata. */
type Looks = 'none' | 'own' | 'all'

export function checkFindVolume(options: FindVolumeOptions): { readonly given: Given; readonly looks: Looks } {
  checkOptions(options, ['sizeBytes', 'externalOrigin', 'known', 'signal'], 'volume')
  const unchecked = options.known === 'unchecked'
  const known = unchecked || checkBoolean('known', options.known)
  const sizeBytes = options.sizeBytes === undefined ? undefined : checkVolumeSize(options.sizeBytes)
  const given = { sizeBytes, externalOrigin: originPath(options.externalOrigin), unchecked }
  return { given, looks: unchecked ? 'none' : known ? 'own' : 'all' }
}

export async function findVolume(
  pool: PoolContext,
  id: number,
  given: Given,
  looks: Looks,
  signal?: AbortSignal,
): Promise<ThinVolume> {
  const told = { ...(await recordOf(pool, id)), ...defined(given) }
  if (looks === 'none') return volumeOf(pool, id, undefined, told)
  if (looks === 'own') return volumeOf(pool, id, await ownActive(pool, id, signal), told, signal)
  await checkUp(pool, signal)
  const active = await activeAs(pool, id, signal)
  if (!active && !(await thinIds(pool, signal)).includes(id)) {
    throw new DmThinError('DM_VOLUME_NOT_FOUND', `pool ${pool.name} has no volume ${id}`, { device: pool.name })
  }
  return volumeOf(pool, id, active, told, signal)
}

export async function findVolumes(pool: PoolContext, signal?: AbortSignal): Promise<ThinVolume[]> {
  await checkUp(pool, signal)
  const all = await pool.port.activeThins(pool.device, signal)
  const active = new Map(all.map(thin => [thin.id, thin]))
  const ids = await thinIds(pool, signal)
  const recorded = (await pool.record?.read())?.volumes
  const found: ThinVolume[] = []
  for (const id of ids) found.push(await volumeOf(pool, id, active.get(id), recorded?.get(id) ?? {}, signal))
  return found
}

/**
 * Returns the active device of a volume. One query suffices if this library activated it; otherwise every device that
 * holds the pool is examined.
 */
async function activeAs(pool: PoolContext, id: number, signal?: AbortSignal): Promise<ActiveThin | undefined> {
  const { port, device } = pool
  const own = await ownActive(pool, id, signal)
  if (own) return own
  return (await port.foreignThins(device, volumeUuidPrefix(pool), signal)).find(thin => thin.id === id)
}

/** The volume's own device, once it has a table: before, somebody is just activating it, or has died of it. */
async function ownActive(pool: PoolContext, id: number, signal?: AbortSignal): Promise<ActiveThin | undefined> {
  const own = await pool.port
    .deviceStatus({ uuid: volumeUuidPrefix(pool) + id }, signal)
    .catch(undefinedIf('DM_NOT_FOUND'))
  return own && (own.flags & DEVICE_FLAG.activeTable) !== 0 ? { ...own, id } : undefined
}

async function volumeOf(
  pool: PoolContext,
  id: number,
  active: ActiveThin | undefined,
  given: Given,
  signal?: AbortSignal,
): Promise<ThinVolume> {
  const inactive = () => new ThinVolume(pool, { id, ...given })
  if (!active) return inactive()
  const flags = TABLE_FLAG.table | TABLE_FLAG.noflush
  const lines = await pool.port.tableStatus(addressOf(active), flags, signal).catch(undefinedIf('DM_NOT_FOUND'))
  if (!lines) return inactive() // deactivated concurrently
  const [line] = lines
  const found = line && { sizeBytes: sectorsToBytes(line.lengthSectors), externalOrigin: externalOriginIn(line) }
  return new ThinVolume(pool, { id, ...given, ...found, active })
}

/** Returns the entries that are not undefined: undefined ones must not override the record. */
const defined = <T extends object>(given: T): Partial<T> =>
  Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as Partial<T>
