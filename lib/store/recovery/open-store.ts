// Opening a store: its directory, its records, its pool.
import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { DmThinError, hasCode, throwIfAborted } from '../../base/errors.js'
import type { DeviceSource } from '../../pool/lifecycle/options.js'
import { GiB, MiB } from '../../base/units.js'
import { ThinPool } from '../../pool/thin-pool.js'
import { nativePort } from '../../kernel/native-port.js'
import { Bases } from '../layers/base-volumes.js'
import { CommitPoints } from '../engine/commit-points.js'
import type { StoreContext } from '../engine/context.js'
import { checkDisks } from './disks.js'
import { Leases } from '../engine/leases.js'
import { Locks } from '../engine/key-locks.js'
import type { PoolPlace, StorePlan } from '../common/options.js'
import { Owner } from '../records/owner.js'
import { Records } from '../records/records.js'
import { Reserve } from '../engine/reserve.js'
import { allocateMetadata } from './allocate-metadata.js'
import { Removals } from '../engine/removal-queue.js'
import { databaseFaults, isLocked, openDatabase, type Database } from '../records/sqlite.js'
import { Volumes } from '../engine/volumes.js'
import { WarmSets } from '../layers/warm-pool.js'
import { Writer } from '../records/writer.js'

/**
 * The data are sparse: what is promised, not what is taken. The metadata have their space from the start, and need some 48
 * bytes for each 64 KiB of each generation of snapshots.
 */
const DATA_BYTES = 100 * GiB
const METADATA_BYTES = 256 * MiB

/** An open store, and how to let go of it. */
export interface Started {
  readonly store: StoreContext
  readonly database: Database
}

export async function startStore(plan: StorePlan): Promise<Started> {
  const directory = path.resolve(plan.directory)
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const database = await openDatabase(path.join(directory, 'layers.db'))
  let writer: Writer | undefined
  let owner: Owner | undefined
  let pool: ThinPool | undefined
  try {
    writer = new Writer(database)
    const records = await recordsOf(database)
    const place = await writer.write(() => {
      records.found()
      return recordPlace(records, directory, plan.pool)
    })
    throwIfAborted(plan.signal)
    owner = await Owner.begin(path.join(directory, 'owners'))
    const disks = await checkDisks(records, place)
    const wasUp = await isUp(place.name)
    pool = await openPool(place, records, plan.signal)
    const status = await pool.status()
    if (status.transactionId === undefined) {
      const text = `pool ${pool.name} has failed: take it down and run thin_check, then thin_repair, on its metadata`
      throw new DmThinError('DM_POOL_FAILED', text, { device: pool.name })
    }
    if (records.get('made') === undefined) {
      if (!plan.adopt) await refuseForeign(pool, status.transactionId, records, wasUp)
      await allocateMetadata(place.metadata)
      await writer.write(() => confirmPlace(records, directory, place))
    }
    const known = JSON.stringify(disks)
    if (records.get('disks') !== known) await writer.write(() => records.set('disks', known))
    const parts = {
      directory,
      pool,
      records,
      writer,
      owner,
      points: new CommitPoints(pool, status.transactionId, () => records.transaction),
      volumes: new Volumes(pool, plan.discard ?? 'file' in place.data),
      locks: new Locks(),
      leases: new Leases({ records, writer, owner }),
      reserve: new Reserve(pool, plan.reservePercent, place.data),
      format: plan.format,
      fileSystem: plan.fileSystem,
      sizeBytes: plan.sizeBytes,
      zeroed: place.skipBlockZeroing !== true,
      clock: () => nativePort().wallClock(),
    }
    const store = { ...parts, bases: new Bases(), removals: new Removals(parts) } as Omit<StoreContext, 'warm'>
    return { database, store: Object.assign(store, { warm: new WarmSets(store as StoreContext) }) }
  } catch (fault) {
    await pool?.close()
    owner?.end()
    writer?.close()
    database.close()
    throw fault
  }
}

/** Another process may have the file alone for a moment: one that makes it, or the first after a crash. */
async function recordsOf(database: Database): Promise<Records> {
  for (let tries = 1; ; tries += 1) {
    try {
      const records = databaseFaults(database.name, () => new Records(database))
      if (records.checkpoint() || tries >= BUSY_TRIES) return records
    } catch (fault) {
      if (!isLocked(fault) || tries >= TRIES) throw fault
    }
    await sleep(PAUSE_MS)
  }
}

/** Where the pool is, decided once and then the same for all. */
function recordPlace(records: Records, directory: string, asked: Partial<PoolPlace>): PoolPlace {
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
function confirmPlace(records: Records, directory: string, place: PoolPlace): void {
  if (records.get('pool') !== JSON.stringify(place)) {
    const text = `another process opened the store in ${directory} at the same time, with another pool`
    throw new DmThinError('DM_STORE_MISMATCH', text, { device: place.name })
  }
  records.set('made', place.name)
}

/**
 * A pool in which something is, and nothing of it is recorded, is another program's, or a store's whose records are gone.
 * The records are looked at last: another process that opens the same new store may have confirmed it meanwhile.
 */
async function refuseForeign(pool: ThinPool, transactionId: bigint, records: Records, wasUp: boolean): Promise<void> {
  const volumes = await pool.volumes()
  if (volumes.length === 0 && transactionId === 0n) return
  if (records.get('made') !== undefined) return
  if (!wasUp) await pool.remove() // brought up by this call
  const what = `${volumes.length} volumes and transaction id ${transactionId}`
  const text = `pool ${pool.name} has ${what}, and nothing of it is recorded: pool.adopt takes it as it is`
  throw new DmThinError('DM_STORE_MISMATCH', text, { device: pool.name })
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

async function isUp(name: string): Promise<boolean> {
  try {
    await nativePort().deviceStatus({ name })
    return true
  } catch (fault) {
    if (!hasCode(fault, 'DM_NOT_FOUND')) throw fault
    return false
  }
}

/** A pool that is not there yet is made; another process may be first, and then it is there. */
async function openPool(place: PoolPlace, records: Records, signal?: AbortSignal): Promise<ThinPool> {
  const abort = signal ? { signal } : {}
  // A writer in a container is told that the pool is full, and does not hang for a minute.
  const options = { ...place, errorIfNoSpace: true, ...abort }
  const found = { ...options, data: whateverSize(place.data), metadata: whateverSize(place.metadata) }
  for (let tries = 1; ; tries += 1) {
    try {
      return await ThinPool.open(found)
    } catch (fault) {
      if (!hasCode(fault, 'DM_FILE_MISSING', 'DM_METADATA_BLANK', 'DM_NOT_FOUND', 'DM_BUSY')) throw fault
      if (!hasCode(fault, 'DM_BUSY')) refuseLoss(records, place, fault)
      else if (tries >= TRIES) throw fault
    }
    try {
      return await ThinPool.create(options)
    } catch (fault) {
      const first = hasCode(fault, 'DM_NAME_TAKEN', 'DM_BUSY', 'DM_FILE_ATTACHED', 'DM_METADATA_NOT_BLANK')
      if (!first || tries >= TRIES) throw fault
      await sleep(PAUSE_MS)
    }
  }
}

const TRIES = 100
/** Of a database that others use. */
const BUSY_TRIES = 10
const PAUSE_MS = 100

/** An existing file has the size that it has: it may have been grown. */
const whateverSize = (source: DeviceSource): DeviceSource =>
  source.file === undefined ? source : { file: source.file }

/** Layers are recorded, and their pool is not there: a new one would make the loss final. */
function refuseLoss(records: Records, place: PoolPlace, cause: unknown): void {
  if (records.all().length === 0) return
  const where = place.data.file ?? (place.data as { device: string }).device
  const text = `layers are recorded, but their pool is not on ${where}: ${(cause as Error).message}`
  throw new DmThinError('DM_STORE_MISMATCH', text, { device: place.name, cause })
}
