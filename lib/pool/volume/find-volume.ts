// Search for an existing volume: inactive, or active, whoever activated it.
import { DmThinError } from '../../base/errors.js'
import { checkBoolean, checkOptions } from '../../base/options.js'
import { sectorsToBytes } from '../../base/units.js'
import { inventoryOf, type PoolContext } from '../state/context.js'
import { hasThin, thinIds } from '../metadata-read/live-volumes.js'
import { activeDevice, ownActive, type ActiveDevice } from './active-device.js'
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
  if (looks === 'own') return volumeOf(pool, id, await ownActive(pool, id, signal), told)
  const active = await activeDevice(pool, id, signal)
  if (!active && !(await hasThin(pool, id, signal))) {
    throw new DmThinError('DM_VOLUME_NOT_FOUND', `pool ${pool.name} has no volume ${id}`, { device: pool.name })
  }
  return volumeOf(pool, id, active, told)
}

export async function findVolumes(pool: PoolContext, signal?: AbortSignal): Promise<ThinVolume[]> {
  const { thins } = await inventoryOf(pool, signal)
  const active = new Map(thins.flatMap(thin => (thin.line ? [[thin.id, { ...thin, line: thin.line }]] : [])))
  const ids = await thinIds(pool, signal)
  const recorded = (await pool.record?.read())?.volumes
  return ids.map(id => volumeOf(pool, id, active.get(id), recorded?.get(id) ?? {}))
}

function volumeOf(pool: PoolContext, id: number, active: ActiveDevice | undefined, given: Given): ThinVolume {
  if (!active) return new ThinVolume(pool, { id, ...given })
  const { line } = active
  const found = { sizeBytes: sectorsToBytes(line.lengthSectors), externalOrigin: externalOriginIn(line) }
  return new ThinVolume(pool, { id, ...given, ...found, active })
}

/** Returns the entries that are not undefined: undefined ones must not override the record. */
const defined = <T extends object>(given: T): Partial<T> =>
  Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as Partial<T>
