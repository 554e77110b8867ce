// Where the pool of a store is: decided once, recorded, and then the same for all.
import { randomBytes } from 'node:crypto'
import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { DmThinError } from '../../base/errors.js'
import { GiB, MiB } from '../../base/units.js'
import type { DeviceSource } from '../../pool/lifecycle/options.js'
import type { PoolPlace } from '../common/options.js'
import type { Records } from '../records/records.js'

/**
 * The data are sparse: what is promised, not what is taken. The metadata have their space from the start, and need some 48
 * bytes for each 64 KiB of each generation of snapshots.
 */
const DATA_BYTES = 100 * GiB
const METADATA_BYTES = 256 * MiB

/** Where the pool is, decided once and then the same for all. */
export function recordPlace(records: Records, directory: string, asked: Partial<PoolPlace>): PoolPlace {
  const recorded = records.get('pool')
  // One that was never there may have been a slip of the pen: who asks for another is not held to it.
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

/** The pool is there. Another process may have been quicker, with another one. */
export function confirmPlace(records: Records, directory: string, place: PoolPlace): void {
  if (records.get('pool') !== JSON.stringify(place)) {
    const text = `another process opened the store in ${directory} at the same time, with another pool`
    throw new DmThinError('DM_STORE_MISMATCH', text, { device: place.name })
  }
  records.set('made', place.name)
}

/** Another process may have another working directory. */
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
