// The steps that open a store: its directory, its records, its pool, and the parts that its calls use.
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { DmThinError, throwIfAborted } from '../../base/errors.js'
import { nativePort } from '../../kernel/native-port.js'
import type { ThinPool } from '../../pool/thin-pool.js'
import type { StorePlan } from '../common/store-options.js'
import { Claims } from '../engine/claims.js'
import { CommitPoints } from '../engine/commit-points.js'
import { KeyLocks } from '../engine/key-locks.js'
import { Leases } from '../engine/leases.js'
import type { StoreParts } from '../engine/parts.js'
import { RemovalQueue } from '../engine/removal-queue.js'
import { Reserve } from '../engine/space-reserve.js'
import { Volumes } from '../engine/volumes.js'
import { type BaseOptions, BaseVolumes } from '../layers/base-volumes.js'
import { prepare, type PrepareParts } from '../layers/prepare.js'
import { WarmPool } from '../layers/warm-pool.js'
import { Owner } from '../records/owner.js'
import { Records } from '../records/records.js'
import { databaseFaults, isLocked, openDatabase, type Database } from '../records/sqlite.js'
import { Writer } from '../records/writer.js'
import { allocateMetadata, keepPool, reserveLimits } from './pool-growth.js'
import { checkDisks } from './disks.js'
import { isUp, openPool, refuseForeign } from './open-pool.js'
import { confirmPlace, recordPlace } from './pool-place.js'

/** The number of attempts while another process has exclusive access to the file of the records. */
const TRIES = 100
/** The number of attempts to checkpoint a database that other processes use. */
const BUSY_TRIES = 10
const PAUSE_MS = 100

/** An open store: the parts that its calls use, and the file of its records. */
export interface OpenStore extends PrepareParts {
  readonly warm: WarmPool
  readonly database: Database
}

export async function openStore(plan: StorePlan): Promise<OpenStore> {
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
      records.createSchema()
      return recordPlace(records, directory, plan.pool)
    })
    throwIfAborted(plan.signal)
    owner = await Owner.begin(path.join(directory, 'owners'))
    const disks = await checkDisks(records, place)
    const wasUp = await isUp(place.name)
    pool = await openPool(place, records, plan)
    const status = await pool.status()
    if (status.data === undefined) {
      const text = `pool ${pool.name} has failed: call ThinPool.repair({ name }) of it`
      throw new DmThinError('DM_POOL_FAILED', text, { device: pool.name })
    }
    if (records.get('made') === undefined) {
      if (!plan.adopt) await refuseForeign(pool, status.transactionId, records, wasUp)
      await allocateMetadata(place.metadata)
      await writer.write(() => confirmPlace(records, directory, place))
    }
    if (plan.keep !== undefined) await keepPool(pool, plan.keep, place)
    const known = JSON.stringify(disks)
    if (records.get('disks') !== known) await writer.write(() => records.set('disks', known))
    const basic = {
      directory,
      pool,
      records,
      writer,
      owner,
      claims: new Claims({ records, writer, owner }),
      points: new CommitPoints(pool, status.transactionId, () => records.transaction),
      volumes: new Volumes(pool, plan.discard ?? 'file' in place.data),
      locks: new KeyLocks(),
      leases: new Leases({ records, writer, owner }),
      reserve: new Reserve(pool, plan.reservePercent, place.data, reserveLimits(plan.keep, status)),
      clock: () => nativePort().wallClock(),
    }
    const { format, fileSystem, sizeBytes } = plan
    const zeroed = place.skipBlockZeroing !== true
    return openStoreOf({ ...basic, removals: new RemovalQueue(basic) }, database, {
      format,
      fileSystem,
      sizeBytes,
      zeroed,
    })
  } catch (fault) {
    await pool?.close()
    owner?.end()
    writer?.close()
    database.close()
    throw fault
  }
}

/** @internal Adds the parts that use other parts. */
export function openStoreOf(parts: StoreParts, database: Database, options: BaseOptions): OpenStore {
  const preparing = { ...parts, bases: new BaseVolumes(parts, options) }
  const warm = new WarmPool(parts, parent => prepare(preparing, { kind: 'active', key: null, parent, options: {} }))
  return { ...preparing, warm, database }
}

/**
 * Opens the records. Retries while another process has exclusive access to the file, because it creates the file or is the
 * first after a crash.
 */
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
