// One process of test/runtimes/store.test.ts: node store.cjs OPTIONS KEY FILE. Writes one line of JSON.
'use strict'

const { writeFileSync } = require('node:fs')
const { LayerStore } = require('../../dist/entry/store.js')
const internal = require('../tools/runner/modules.cjs')

const { databaseFaults, isLocked, loadSqlite, openDatabase } = internal('lib/store/records/sqlite.ts')

const [options, key, file] = process.argv.slice(2)

async function keys(store) {
  const found = []
  for await (const layer of store.walk()) if (layer.key !== undefined) found.push(layer.key)
  return found.sort()
}

/** What both libraries must answer alike. */
async function database() {
  const [one, two] = [await openDatabase(file), await openDatabase(file)]
  one.exec('CREATE TABLE t (value INTEGER) STRICT')
  one.exec('BEGIN IMMEDIATE')
  let locked
  try {
    two.immediate(() => {})
  } catch (fault) {
    locked = isLocked(fault) ? 'SQLITE_BUSY' : String(fault)
  }
  one.exec('COMMIT')
  one.immediate(() => {
    try {
      one.savepoint(() => {
        one.prepare('INSERT INTO t VALUES (?)').run(1)
        throw new Error('roll it back')
      })
    } catch {
      // it was meant to
    }
  })
  const rolledBack = Number(one.prepare('SELECT count(*) AS n FROM t').get().n)
  one.close()
  two.close()
  writeFileSync(file, 'no database at all, and longer than the header of one'.repeat(40))
  let notADatabase
  try {
    const bad = await openDatabase(file)
    notADatabase = readFault(bad)
  } catch (fault) {
    notADatabase = fault.code
  }
  return { locked, rolledBack, notADatabase }
}

function readFault(bad) {
  try {
    databaseFaults(file, () => bad.prepare('SELECT * FROM sqlite_master').all())
    return 'none'
  } catch (fault) {
    return fault.code
  } finally {
    bad.close()
  }
}

async function main() {
  const connect = await loadSqlite()
  const probe = connect(':memory:')
  const sqlite = probe.constructor.name
  probe.close()
  const store = await LayerStore.open(JSON.parse(options))
  const before = await keys(store)
  await store.prepare(key, before.at(-1) ?? '')
  await store.commit(`${key}-done`, key)
  await store.prepare(key, `${key}-done`)
  await store.remove(key)
  await store.update(`${key}-done`, { labels: { made: sqlite } })
  await store.close()
  const again = await LayerStore.open(JSON.parse(options))
  const after = (await keys(again)).map(name => name.replace(/-done$/, ''))
  const disagreements = (await again.verify()).map(({ kind }) => kind)
  await again.close()
  const report = {
    sqlite,
    before: before.map(name => name.replace(/-done$/, '')),
    after,
    ...(await database()),
    disagreements,
  }
  process.stdout.write(JSON.stringify(report))
}

void main()
