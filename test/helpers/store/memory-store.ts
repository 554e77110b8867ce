// What the calls of a layer store work with, on a pool of the memory kernel: records in a directory of their own, and as many
// owners as there are processes. Nothing is mounted or formatted.
import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { DmThinError, MiB, ThinPool } from '../../../lib/entry/index.js'
import { Claims } from '../../../lib/store/engine/claims.js'
import { CommitPoints } from '../../../lib/store/engine/commit-points.js'
import { Leases } from '../../../lib/store/engine/leases.js'
import { KeyLocks } from '../../../lib/store/engine/key-locks.js'
import { Owner } from '../../../lib/store/records/owner.js'
import { Records } from '../../../lib/store/records/records.js'
import type { Row, RowInsert } from '../../../lib/store/records/row.js'
import { openDatabase } from '../../../lib/store/records/sqlite.js'
import { Writer } from '../../../lib/store/records/writer.js'
import { RemovalQueue } from '../../../lib/store/engine/removal-queue.js'
import { Reserve } from '../../../lib/store/engine/space-reserve.js'
import { Volumes } from '../../../lib/store/engine/volumes.js'
import { openStoreOf, type OpenStore } from '../../../lib/store/open/open-store.js'
import { memoryKernel, type MemoryKernel } from '../../../lib/entry/testing.js'
import { setTime } from '../../contract/at-rest.js'
import { processOn, type Process } from '../process/processes.js'

export interface MemoryStore {
  readonly kernel: MemoryKernel
  /** Its calls of the kernel can be listed and held. */
  readonly process: Process
  readonly store: OpenStore
  /** A row as a call writes it; without `owner` that of this store. */
  readonly insert: (row: Partial<RowInsert>) => Promise<Row>
  /** A committed layer with a volume. */
  readonly committed: (key: string) => Promise<Row>
}

const NAME = 'layers'
/** Of layers without a parent. */
export const SIZE_BYTES = 16 * MiB

export interface MemoryStoreOptions {
  /** How many snapshots the pool has made. Default 0. */
  readonly snapshots?: number
}

/** Runs `body` on a new store, and closes what that leaves. */
export async function withMemoryStore(
  body: (memory: MemoryStore) => Promise<void>,
  options: MemoryStoreOptions = {},
): Promise<void> {
  const directory = mkdtempSync(path.join(realpathSync(tmpdir()), 'dm-thin-memory-store-'))
  try {
    await opened(directory, body, options)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

async function opened(
  directory: string,
  body: (memory: MemoryStore) => Promise<void>,
  { snapshots }: MemoryStoreOptions,
): Promise<void> {
  const kernel = memoryKernel()
  const process = processOn(kernel)
  const wanted = { ...kernel.poolOptions(NAME), kernel: process }
  let pool = await ThinPool.create(wanted)
  if (snapshots !== undefined) {
    await pool.remove()
    await setTime(kernel, wanted, snapshots)
    pool = await ThinPool.open(wanted)
  }
  const database = await openDatabase(path.join(directory, 'layers.db'))
  const records = new Records(database)
  const writer = new Writer(database)
  const owner = await Owner.begin(path.join(directory, 'owners'))
  await writer.write(() => records.createSchema())
  let now = 0n
  const basic = {
    directory,
    pool,
    records,
    writer,
    owner,
    claims: new Claims({ records, writer, owner }),
    points: new CommitPoints(pool, 0n, () => records.transaction),
    volumes: new Volumes(pool, false), // a discard is one of a device of the machine
    locks: new KeyLocks(),
    leases: new Leases({ records, writer, owner }),
    reserve: new Reserve(pool, 0, { file: path.join(directory, 'data.img') }, { data: Infinity, metadata: Infinity }),
    clock: () => (now += 1n),
  }
  const store = openStoreOf({ ...basic, removals: new RemovalQueue(basic) }, database, {
    format: () =>
      Promise.reject(new DmThinError('DM_UNSUPPORTED', 'a node of the memory kernel is none of the machine')),
    fileSystem: 'ext4',
    sizeBytes: SIZE_BYTES,
    zeroed: true,
  })
  const insert = (row: Partial<RowInsert>) => writer.write(() => records.insert({ ...plain(store), ...row }))
  const committed = async (key: string) => {
    const row = await insert({ key, kind: 'committed', state: 'ready', owner: null })
    await pool.createVolume({ id: row.thin, sizeBytes: row.sizeBytes })
    return row
  }
  try {
    await body({ kernel, process, store, insert, committed })
  } finally {
    await store.warm.close()
    await store.removals.stop()
    await store.claims.release()
    await writer.settled()
    owner.end()
    await pool.close()
    writer.close()
    database.close()
  }
}

const plain = ({ owner, clock }: OpenStore): RowInsert => ({
  key: null,
  kind: 'active',
  state: 'making',
  owner: owner.id,
  parent: null,
  sizeBytes: SIZE_BYTES,
  fileSystem: 'ext4',
  at: clock(),
  labels: {},
})
