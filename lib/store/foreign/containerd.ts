// The records of containerd's devmapper snapshotter: metadata.db has the snapshots, POOL.db their thin volumes. containerd may
// write while they are read. Facts: its plugins/snapshots/devmapper and core/snapshots/storage.
import { open, readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { DmThinError } from '../../base/errors.js'
import { boltRoot, boltTransaction, type Bucket } from './bolt.js'
import { deviceOf, type AdoptedKind, type ForeignRecord, type ForeignRecords } from './foreign-record.js'

export const CONTAINERD_RECORDS = 'metadata.db'
const KINDS: readonly AdoptedKind[] = ['unknown', 'view', 'active', 'committed']
/** The first and the last state of a volume that is whole: `Created` and `Deactivated`. */
const CREATED = 2
const DEACTIVATED = 10
const HEADER_BYTES = 2 * 65_536
const TRIES = 50

/** Finds the records in a directory. `pool` selects one if the directory has records of several pools. */
export async function containerdRecords(directory: string, pool: string | undefined): Promise<ForeignRecords> {
  const poolName = pool ?? (await onlyPool(directory))
  return { program: 'containerd', poolName, read: () => read(directory, poolName) }
}

async function onlyPool(directory: string): Promise<string> {
  const names = (await readdir(directory)).filter(name => name.endsWith('.db') && name !== CONTAINERD_RECORDS)
  const [only, ...others] = names.map(name => name.slice(0, -'.db'.length))
  if (only !== undefined && others.length === 0) return only
  const text = `${directory} has records of ${names.length} pools: pass \`pool\` to select one`
  throw new DmThinError('DM_NOT_FOUND', text, { device: directory })
}

async function read(directory: string, poolName: string): Promise<ForeignRecord[]> {
  // The volumes are read first: a snapshot is recorded before its volume, so that each volume is found with its snapshot.
  const devices = devicesIn(await root(path.join(directory, `${poolName}.db`)))
  const snapshots = snapshotsIn(await root(path.join(directory, CONTAINERD_RECORDS)))
  return devices.map(({ name, thin, sizeBytes, isWhole }) => {
    const snapshot = snapshots.get(name.slice(`${poolName}-snap-`.length))
    return { ...(snapshot ?? { key: name, parent: '', kind: 'unknown' }), thin, sizeBytes, isWhole }
  })
}

function devicesIn(records: Bucket) {
  const found = []
  for (const [name, entry] of records.bucket('devices')?.entries() ?? []) {
    if (!('value' in entry)) continue
    const { thin, sizeBytes, rest } = deviceOf(name, entry.value.toString('utf8'))
    const state = Number(rest['state'])
    found.push({ name, thin, sizeBytes, isWhole: state >= CREATED && state <= DEACTIVATED })
  }
  return found
}

function snapshotsIn(records: Bucket): Map<string, { key: string; parent: string; kind: AdoptedKind }> {
  const found = new Map<string, { key: string; parent: string; kind: AdoptedKind }>()
  for (const [key, entry] of records.bucket('v1')?.bucket('snapshots')?.entries() ?? []) {
    if (!('bucket' in entry)) continue
    const { bucket } = entry
    const kind = KINDS[bucket.value('kind')?.[0] ?? 0] ?? 'unknown'
    const parent = bucket.value('parent')?.toString('utf8') ?? ''
    found.set(String(unsigned(bucket.value('id') ?? Buffer.alloc(0))), { key, parent, kind })
  }
  return found
}

/** Decodes a number of Go (uvarint): seven bits in each byte, the lowest first. */
function unsigned(bytes: Buffer): bigint {
  return [...bytes].reduceRight((number, byte) => (number << 7n) | BigInt(byte & 0x7f), 0n)
}

/** Reads the root of one transaction. Reads the file again if another transaction was written during the read. */
async function root(file: string): Promise<Bucket> {
  try {
    for (let tries = 1; ; tries += 1) {
      const content = await readFile(file)
      if (boltTransaction(content) === boltTransaction(await start(file))) return boltRoot(content)
      if (tries === TRIES) throw new DmThinError('DM_STORE_DATABASE', `${file} is written continuously`)
    }
  } catch (fault) {
    const { code, message } = fault as NodeJS.ErrnoException
    if (code === 'ENOENT') throw new DmThinError('DM_FILE_MISSING', `there is no ${file}`, { device: file })
    if (code !== 'DM_STORE_DATABASE') throw fault
    throw new DmThinError('DM_STORE_DATABASE', `${file}: ${message}`, { device: file, cause: fault })
  }
}

async function start(file: string): Promise<Buffer> {
  const handle = await open(file)
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(HEADER_BYTES), 0, HEADER_BYTES, 0)
    return buffer.subarray(0, bytesRead)
  } finally {
    await handle.close()
  }
}
