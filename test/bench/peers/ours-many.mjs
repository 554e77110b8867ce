// A store of very many layers. Their volumes are real; their records are written by the store's own code, in one
// transaction, and not by as many calls of it.
import { rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { ThinPool } from 'dm-thin'
import { range } from '../plan.mjs'
import { emptyPool, makeParent, openStore, PARENT, removeAll, stagedStore, storeDirectory } from '../store-scratch.mjs'

const MANY = 'many'
const CHAIN = 10
/** Messages to a pool are taken one at a time, but need not be sent so. */
const AT_ONCE = 64
const PREPARED = 24

const keyOf = index => `layer-${String(index).padStart(6, '0')}`
const fileOf = plan => join(storeDirectory(plan, MANY), 'layers.db')

/** Committed layers in chains of ten on the first one. */
async function writeRecords(plan) {
  const internal = createRequire(import.meta.url)('../../tools/runner/modules.cjs')
  const { openDatabase } = internal('lib/store/records/sqlite.ts')
  const { Records } = internal('lib/store/records/records.ts')
  const database = await openDatabase(fileOf(plan))
  const records = new Records(database)
  const rows = database.immediate(() => {
    const root = records.byKey(PARENT)
    const { sizeBytes, fileSystem, createdAt: at } = root
    const made = []
    for (const index of range(plan.count)) {
      const parent = index % CHAIN === 0 ? root.id : made.at(-1).id
      const rest = { owner: null, parent, sizeBytes, fileSystem, at, labels: { index: String(index) } }
      const { id } = records.insert({ key: keyOf(index), kind: 'committed', state: 'ready', ...rest })
      made.push(records.update(id, ['ready'], { mappedBytes: root.mappedBytes ?? 0 }))
    }
    return { root, made }
  })
  database.close()
  return rows
}

async function makeVolumes(plan, { root, made }) {
  const pool = await ThinPool.open(plan.pool)
  const origin = await pool.volume(root.thin, { sizeBytes: root.sizeBytes })
  for (let at = 0; at < made.length; at += AT_ONCE) {
    const some = made.slice(at, at + AT_ONCE)
    await Promise.all(some.map(({ thin }) => origin.snapshot({ id: thin, activate: false })))
  }
  await pool.close()
}

/** What the database alone takes for the same: opened, every row read. */
function readAlone(file, read) {
  const database = new Sqlite(file, { readonly: true })
  const value = read(database)
  database.close()
  return value
}

export const manyTrials = {
  async 'many-make'(_samples, plan) {
    const store = await stagedStore(plan, MANY)
    await makeParent(store)
    await store.close()
    await makeVolumes(plan, await writeRecords(plan))
  },

  async many(samples, plan) {
    const open = () => openStore(plan, storeDirectory(plan, MANY))
    const file = fileOf(plan)
    for (const _ of range(plan.repeats)) {
      const store = await samples.time('open-10k', open)
      const inconsistent = store.findings.filter(({ kind }) => kind !== 'volume-without-layer')
      if (inconsistent.length > 0) throw new Error(`the store does not agree with its pool: ${inconsistent[0].kind}`)
      await store.close()
      const all = database => database.prepare('SELECT * FROM layer').all()
      await samples.time('open-10k@better-sqlite3', () => readAlone(file, all))
    }
    const store = await open()
    const keys = range(PREPARED).map(index => `new-${index}`)
    for (const key of keys) {
      await samples.time('prepare-10k', async () => (await store.prepare(key, keyOf(plan.count >> 1))).mounts)
    }
    await removeAll(store, keys)
    await store.close()
  },

  async 'many-unmake'(_samples, plan) {
    await emptyPool(plan)
    rmSync(storeDirectory(plan, MANY), { recursive: true })
  },
}
