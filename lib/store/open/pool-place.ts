// The location of a store's pool. It is decided and recorded once, and is the same for all processes.
import { randomBytes } from 'node:crypto'
import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { DmThinError } from '../../base/errors.js'
import { GiB, MiB } from '../../base/units.js'
import type { DeviceSource } from '../../pool/lifecycle/pool-options.js'
import type { PoolPlace } from '../common/store-options.js'
import type { Records } from '../records/records.js'

/**
 * The default sizes. The data file is sparse. The space of the metadata file is allocated at the start. Metadata needs about
 * 48 bytes for each 64 KiB of each generation of snapshots.
 */
const DATA_BYTES = 100 * GiB
const METADATA_BYTES = 256 * MiB

/** Returns the recorded location of the pool, or records it. Throws `DM_STORE_MISMATCH` if `asked` differs from it. */
export function recordPlace(records: Records, directory: string, asked: Partial<PoolPlace>): PoolPlace {
  const recorded = records.get('pool')
  // A location without a pool may have been a typo in the options, so that other options replace it.
  const isHeld = records.get('made') !== undefined || Object.keys(asked).length === 0
  if (recorded !== undefined && isHeld) {
    const place = JSON.parse(recorded) as PoolPlace
    for (const [name, value] of Object.entries(absolute(asked))) {
      const known = place[name as keyof PoolPlace]
      if (known === undefined || isDeepStrictEqual(value, known)) continue
      const text = `the pool of ${directory} has ${name} ${JSON.stringify(known)}, and not ${JSON.stringify(value)}`
      throw new DmThinError('DM_STORE_MISMATCH', text, { device: place.name })
    }
    return place
  }
  const file = (name: string, sizeBytes: number) => ({ file: path.join(directory, name), sizeBytes })
  const place: PoolPlace = {
    name: `layers-${randomBytes(4).toString('hex')}`,
    data: file('data.img', DATA_BYTES),
    metadata: file('metadata.img', METADATA_BYTES),
    ...absolute(asked),
  }
  records.set('pool', JSON.stringify(place))
  return place
}

/** Records that the pool exists. Throws `DM_STORE_MISMATCH` if another process has recorded another location. */
export function confirmPlace(records: Records, directory: string, place: PoolPlace): void {
  if (records.get('pool') !== JSON.stringify(place)) {
    const text = `another process opened the store in ${directory} at the same time, with another pool`
    throw new DmThinError('DM_STORE_MISMATCH', text, { device: place.name })
  }
  records.set('made', place.name)
}

/** Makes all paths absolute, because other processes may have another working directory. */
function absolute(place: Partial<PoolPlace>): Partial<PoolPlace> {
  const resolved = (source: DeviceSource): DeviceSource =>
    source.file === undefined
      ? { device: path.resolve((source as { device: string }).device) }
      : { ...source, file: path.resolve(source.file) }
  return {
    ...place,
    ...(place.data && { data: resolved(place.data) }),
    ...(place.metadata && { metadata: resolved(place.metadata) }),
  }
}
