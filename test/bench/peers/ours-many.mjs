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
const STATS = 1000

const keyOf = index => `layer-${String(index).padStart(6, '0')}`
const fileOf = plan => join(storeDirectory(plan, MANY), 'layers.db')

/** Committed layers in chains of ten on the first one. */
function writeRecords(plan) {
  const { Records } = createRequire(import.meta.url)('../../../dist/store/records/records.js')
  const database = new Sqlite(fileOf(plan))
  const records = new Records(database)
  const rows = database.transaction(() => {
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
  })()
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

/** The parent and `count` layers, each once; a store that is fast and has forgotten some is worth nothing. */
async function walked(store, count) {
  let found = 0
  for await (const _ of store.walk()) found += 1
  if (found !== count + 1) throw new Error(`${found} layers found, and not ${count + 1}`)
}

export const manyTrials = {
  async 'many-make'(_samples, plan) {
    const store = await stagedStore(plan, MANY)
    await makeParent(store)
    await store.close()
    await makeVolumes(plan, writeRecords(plan))
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
    for (const _ of range(plan.repeats)) {
      await samples.time('walk-10k', () => walked(store, plan.count))
      const sorted = database => database.prepare('SELECT * FROM layer WHERE key IS NOT NULL ORDER BY key').all()
      await samples.time('walk-10k@better-sqlite3', () => readAlone(file, sorted))
      await measureStats(samples, store, plan)
    }
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

/** Layers from all over the table, in an order that no page of it has. */
async function measureStats(samples, store, { count, directory }) {
  const keys = range(STATS).map(index => keyOf((index * 7919) % count))
  const asked = async () => {
    for (const key of keys) await store.stat(key)
  }
  await samples.time('stat-10k', asked, STATS)
  await readAlone(fileOf({ directory }), database => {
    const statement = database.prepare('SELECT * FROM layer WHERE key = ?')
    return samples.time('stat-10k@better-sqlite3', () => void keys.forEach(key => statement.get(key)), STATS)
  })
}
