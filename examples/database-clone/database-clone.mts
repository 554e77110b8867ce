// Copies of a database for tests or analysts: a layer holds the file, each clone is a child, and no clone copies it.
import path from 'node:path'
import Database from 'better-sqlite3'
import type { LayerStore } from 'dm-thin/store'
import { withStore } from '../scratch.mjs'

const SNAPSHOT = 'shop-of-monday'
const ACCOUNTS = 20_000
const CLONES = 4

/** Opens the database in a layer for as long as `body` runs; closed, it is one file that needs no recovery. */
async function withDatabase<T>(store: LayerStore, key: string, body: (database: Database.Database) => T): Promise<T> {
  return store.withMounted(key, async folder => {
    const database = new Database(path.join(folder, 'shop.db'))
    try {
      return body(database)
    } finally {
      database.close()
    }
  })
}

function fill(database: Database.Database): void {
  database.exec('CREATE TABLE account (id INTEGER PRIMARY KEY, owner TEXT, cents INTEGER)')
  const insert = database.prepare('INSERT INTO account (owner, cents) VALUES (?, 100)')
  database.transaction(() => {
    for (let index = 0; index < ACCOUNTS; index += 1) insert.run(`owner ${index}`)
  })()
}

const total = (database: Database.Database): number =>
  database.prepare('SELECT sum(cents) FROM account').pluck().get() as number

await withStore('database-clone', async store => {
  await store.prepare('filling')
  await withDatabase(store, 'filling', fill)
  await store.commit(SNAPSHOT, 'filling')
  const { bytes } = await store.usage(SNAPSHOT)
  console.log(`the snapshot takes ${Math.round(bytes / 1024)} KiB`)

  const clones = Array.from({ length: CLONES }, (_, index) => `clone-${index + 1}`)
  await Promise.all(
    clones.map(async (key, index) => {
      const started = performance.now()
      await store.prepare(key, SNAPSHOT)
      const ms = performance.now() - started
      await withDatabase(store, key, database => {
        database.prepare('UPDATE account SET cents = cents + ? WHERE id <= 10').run(index + 1)
      })
      const own = (await store.usage(key)).bytes
      console.log(`${key}: there after ${ms.toFixed(1)} ms, ${Math.round(own / 1024)} KiB of its own after a change`)
    }),
  )

  for (const key of clones) console.log(`${key}: ${await withDatabase(store, key, total)} cents`)
  await store.prepare('again', SNAPSHOT)
  console.log(`${SNAPSHOT}: ${await withDatabase(store, 'again', total)} cents, as before`)
})
