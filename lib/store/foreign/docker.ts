// The records of Docker's old storage driver `devicemapper` (removed in version 25), and of programs that continued it: a JSON
// file for each volume, and Docker's records of layers and containers. Facts: moby 24's daemon/graphdriver/devmapper and
// layer.
import { readdir, readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import { DmThinError } from '../../base/errors.js'
import { deviceOf, type AdoptedKind, type ForeignRecord, type ForeignRecords } from './foreign-record.js'

export const DOCKER_RECORDS = 'metadata'
const BASE = 'base'
/** The other files in the folder of the volumes' records. */
const OTHERS = new Set(['deviceset-metadata', 'transaction-metadata'])

interface Place {
  readonly key: string
  readonly parent: string
  readonly kind: AdoptedKind
}

/** Finds the records in the directory of the driver, `/var/lib/docker/devicemapper`. */
export async function dockerRecords(directory: string, pool: string | undefined): Promise<ForeignRecords> {
  return { program: 'docker', poolName: pool ?? (await poolOf(directory)), read: sealed => read(directory, sealed) }
}

/** Returns the name of the pool if Docker created it: the name is derived from the directory. */
async function poolOf(directory: string): Promise<string> {
  const { dev, ino } = await stat(directory, { bigint: true })
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & 0xfffff000n)
  const minor = (dev & 0xffn) | ((dev >> 12n) & 0xffffff00n)
  return `docker-${major}:${minor}-${ino}-pool`
}

async function read(directory: string, transaction: bigint): Promise<ForeignRecord[]> {
  const places = await placesOf(path.join(directory, '../image', path.basename(directory), 'layerdb'))
  const folder = path.join(directory, DOCKER_RECORDS)
  const found: ForeignRecord[] = []
  for (const name of await listed(folder)) {
    if (name.startsWith('.tmp') || OTHERS.has(name)) continue
    const file = path.join(folder, name)
    const text = await content(file)
    if (text === undefined) continue // removed concurrently
    const { thin, sizeBytes, rest } = deviceOf(file, text)
    const made = rest['transaction_id']
    const isLater = Number.isSafeInteger(made) && BigInt(made as number) > transaction
    const isHalf = rest['deleted'] === true || (name === BASE && rest['initialized'] !== true)
    const place = name === BASE ? { key: BASE, parent: '', kind: 'base' as const } : places.get(name)
    found.push({ ...(place ?? unknown(name)), thin, sizeBytes, isWhole: !isLater && !isHalf })
  }
  return found
}

const unknown = (key: string): Place => ({ key, parent: '', kind: 'unknown' })

/** Returns keys and parents by the name of the volume: image layers by their chain ids, containers by their ids. */
async function placesOf(layers: string): Promise<Map<string, Place>> {
  const places = new Map<string, Place>()
  for (const algorithm of ['sha256', 'sha512']) {
    for (const name of await listed(path.join(layers, algorithm))) {
      const file = (what: string) => content(path.join(layers, algorithm, name, what))
      const volume = await file('cache-id')
      const place = { key: `${algorithm}:${name}`, parent: (await file('parent')) ?? '', kind: 'committed' } as const
      if (volume !== undefined) places.set(volume, place)
    }
  }
  for (const key of await listed(path.join(layers, 'mounts'))) {
    const file = (what: string) => content(path.join(layers, 'mounts', key, what))
    const [volume, init, parent = ''] = [await file('mount-id'), await file('init-id'), await file('parent')]
    // The layer below each container, with /etc/hosts and similar files, which Docker writes once.
    const initKey = `${key}-init`
    if (init !== undefined) places.set(init, { key: initKey, parent, kind: 'committed' })
    if (volume !== undefined) places.set(volume, { key, parent: init === undefined ? parent : initKey, kind: 'active' })
  }
  return places
}

const isMissing = (fault: unknown): boolean => (fault as NodeJS.ErrnoException).code === 'ENOENT'

async function listed(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (fault) {
    if (isMissing(fault)) return []
    throw fault
  }
}

async function content(file: string): Promise<string | undefined> {
  try {
    return (await readFile(file, 'utf8')).trim()
  } catch (fault) {
    if (isMissing(fault)) return undefined
    throw new DmThinError('DM_STORE_DATABASE', `${file}: ${(fault as Error).message}`, { device: file, cause: fault })
  }
}
