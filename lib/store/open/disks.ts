// Identification of the disks of a pool. After a restart of the machine, a name such as /dev/sdb may be another disk.
import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import path from 'node:path'
import { DmThinError } from '../../base/errors.js'
import type { PoolPlace } from '../common/store-options.js'
import type { Records } from '../records/records.js'

const ROLES = ['data', 'metadata'] as const

/** The identity of each disk, by role. A role is absent if it is a file, or if the disk has no identity. */
type Disks = Partial<Record<(typeof ROLES)[number], string>>

/**
 * Returns the identities of the pool's disks. Rejects with `DM_STORE_MISMATCH` if a path leads to another disk than the
 * recorded one.
 */
export async function checkDisks(records: Records, place: PoolPlace): Promise<Disks> {
  const known = JSON.parse(records.get('disks') ?? '{}') as Disks
  const found = await disksOf(place)
  for (const role of ROLES) {
    if (known[role] === undefined || found[role] === known[role]) continue
    const { device } = place[role] as { device: string }
    const now = found[role] ?? 'a disk without an identity'
    const text = `pool.${role} ${device} is not the disk of this store: that is ${known[role]}, and this is ${now}`
    throw new DmThinError('DM_STORE_MISMATCH', text, { device })
  }
  return { ...known, ...found }
}

async function disksOf(place: PoolPlace): Promise<Disks> {
  const found: Disks = {}
  for (const role of ROLES) {
    const source = place[role]
    if (source.file !== undefined) continue
    const identity = await identityOf((source as { device: string }).device)
    if (identity !== undefined) found[role] = identity
  }
  return found
}

async function identityOf(device: string): Promise<string | undefined> {
  const found = await stat(device, { bigint: true }).catch(() => undefined)
  if (!found?.isBlockDevice()) return undefined // opening the pool reports the error
  const major = ((found.rdev >> 8n) & 0xfffn) | ((found.rdev >> 32n) & 0xfffff000n)
  const minor = (found.rdev & 0xffn) | ((found.rdev >> 12n) & 0xffffff00n)
  const folder = `/sys/dev/block/${major}:${minor}`
  return existsSync(folder) ? identityIn(realpathSync(folder)) : undefined
}

/** Reads the identity from the folder of a block device in sysfs. */
function identityIn(folder: string): string | undefined {
  const uuid = read(folder, 'dm/uuid')
  if (uuid !== undefined) return `device mapper ${uuid}`
  const partition = /^PARTUUID=(.+)$/m.exec(read(folder, 'uevent') ?? '')?.[1]
  if (partition !== undefined) return `partition ${partition}`
  const start = existsSync(path.join(folder, 'partition')) ? read(folder, 'start') : undefined
  if (start !== undefined) {
    const disk = identityIn(path.dirname(folder))
    return disk && `${disk}, partition at sector ${start}`
  }
  const disk =
    read(folder, 'wwid') ?? read(folder, 'device/wwid') ?? read(folder, 'serial') ?? read(folder, 'device/serial')
  if (disk !== undefined) return `disk ${disk}`
  const file = read(folder, 'loop/backing_file')
  return file && `loop over ${file}`
}

/** Returns the content of a file, or undefined if it does not exist or is empty. */
function read(folder: string, name: string): string | undefined {
  try {
    return readFileSync(path.join(folder, name), 'utf8').trim() || undefined
  } catch {
    return undefined
  }
}
