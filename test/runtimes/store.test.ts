// The layer store on each supported Node: those with an SQLite of their own use it, the others better-sqlite3, and each
// opens what another has written. (test/runtimes/store.cjs is what they run.)
// @second-kernel
import { execFileSync } from 'node:child_process'
import path from 'node:path'
import { endStore, storeFiles } from '../helpers/store/stores.js'
import { RUNTIMES, runtimePath } from '../helpers/process/runtimes.js'
import { useScratch } from '../helpers/kernel/scratch.js'

const scratch = useScratch()
const script = path.join(__dirname, 'store.cjs')
/** better-sqlite3 is built for the Node that runs the tests. */
const here = { name: 'this Node', binary: process.execPath, env: { DM_THIN_SQLITE: 'better-sqlite3' } }
/** Node 20 has no SQLite of its own. */
const own = RUNTIMES.filter(name => name !== 'node20').map(name => ({ name, binary: runtimePath(name), env: {} }))

interface Report {
  readonly sqlite: string
  readonly before: string[]
  readonly after: string[]
  readonly locked: string
  readonly notADatabase: string
  readonly rolledBack: number
  readonly disagreements: string[]
}

test('layers that one Node wrote are read and changed by each other Node, with either SQLite', async () => {
  const files = storeFiles()
  const written: string[] = []
  try {
    for (const { name, binary, env } of [here, ...own, here]) {
      const key = `layer-${written.length}`
      const words = [script, JSON.stringify(files.options), key, scratch.path(`other-${written.length}.db`)]
      const out = execFileSync(binary, words, {
        encoding: 'utf8',
        env: { ...process.env, NODE_NO_WARNINGS: '1', ...env },
      })
      const report = JSON.parse(out) as Report
      const sqlite = name === here.name ? 'BetterConnection' : 'NodeConnection'
      expect([name, report]).toEqual([
        name,
        {
          sqlite,
          before: [...written].sort(),
          after: [...written, key].sort(),
          locked: 'SQLITE_BUSY',
          notADatabase: 'DM_STORE_DATABASE',
          rolledBack: 0,
          disagreements: [],
        },
      ])
      written.push(key)
    }
  } finally {
    await endStore(files)
  }
})
