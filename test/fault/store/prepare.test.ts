// A prepare of which each step fails, or whose process is killed at it. The layer exists, or no volume, device or record of it.
import path from 'node:path'
import { LayerStore } from '../../../lib/entry/store.js'
import { runKilled, type Kill } from '../../helpers/fault/fault-child.js'
import { EIO, useFaults, type FaultKind } from '../../helpers/fault/fault.js'
import { endStore, keysOf, storeFiles, thinIdsBy, withStore } from '../../helpers/store/stores.js'
import { useScratch } from '../../helpers/kernel/scratch.js'

const scratch = useScratch()
const hooks = useFaults()
// The kernel logs what it refuses.
beforeEach(() => scratch.log.allow(/thin: .* failed|Couldn't open thin|adding target/))

/** The empty volume and the committed layer. */
const BEFORE = 2

async function withParent(store: LayerStore): Promise<void> {
  await store.prepare('first')
  await store.commit('layer', 'first')
}

const FAILURES: [kind: FaultKind, operation: string][] = [
  ['fail', 'DM_TABLE_STATUS'],
  ['fail', 'DM_TARGET_MSG'],
  ['fail', 'DM_DEV_CREATE'],
  ['fail', 'DM_TABLE_LOAD'],
  ['fail', 'DM_DEV_RESUME'],
  ['fail-after', 'DM_TARGET_MSG'],
  ['fail-after', 'DM_DEV_CREATE'],
]

test.each([1, 2])('%d prepares of which a step fails are made, or reject and leave nothing', count =>
  withStore({}, async (store, { poolName }) => {
    await withParent(store)
    let rejected = 0
    for (const [kind, operation] of FAILURES) {
      for (let nth = 1; ; nth++) {
        const keys = Array.from({ length: count }, (_, at) => `${kind}-${operation}-${nth}-${at}`)
        hooks.setFault(operation, nth, kind, EIO)
        const ended = await Promise.allSettled(keys.map(key => store.prepare(key, 'layer')))
        const isReached = hooks.clearFaults() === 0
        const made = keys.filter((_, at) => ended[at]!.status === 'fulfilled')
        rejected += count - made.length
        const where = `${kind} ${operation} ${nth}`
        expect([where, await keysOf(store)]).toEqual([where, ['layer', ...made].sort()])
        for (const key of made) await store.remove(key)
        expect(await store.cleanup()).toEqual([])
        expect([where, await store.verify()]).toEqual([where, []])
        expect([where, thinIdsBy(poolName).length]).toEqual([where, BEFORE])
        if (!isReached) break
      }
    }
    expect(rejected).toBeGreaterThanOrEqual(FAILURES.length)
  }),
)

const KILLS = ['DM_TARGET_MSG', 'DM_DEV_CREATE', 'DM_TABLE_LOAD', 'DM_DEV_RESUME'].flatMap(operation =>
  (['kill-before', 'kill-after'] as const).map((kind): Kill => ({ operation, kind })),
)

test.each([1, 2])('nothing is left of %d prepares whose process is killed at any step', async count => {
  const files = storeFiles()
  const first = await LayerStore.open(files.options)
  await withParent(first)
  await first.close()
  const left = new Set<number>()
  for (const kill of KILLS) {
    runKilled(
      `const { LayerStore } = require(${JSON.stringify(path.join(__dirname, '../../../dist/entry/store.js'))})
      const store = await LayerStore.open(${JSON.stringify(files.options)})
      armed()
      await Promise.all(Array.from({ length: ${count} }, (_, at) => store.prepare('vm' + at, 'layer')))`,
      kill,
    )
    left.add(thinIdsBy(files.poolName).length - BEFORE)
    const store = await LayerStore.open(files.options)
    expect([kill, store.findings.map(({ kind, action }) => `${kind} ${action}`)]).toEqual([
      kill,
      Array.from({ length: store.findings.length }, () => 'unfinished undone'),
    ])
    expect(await keysOf(store)).toEqual(['layer'])
    expect(await store.cleanup()).toEqual([])
    expect(await store.verify()).toEqual([])
    expect(thinIdsBy(files.poolName)).toHaveLength(BEFORE)
    await store.close()
  }
  expect([...left].sort()).toEqual(Array.from({ length: count + 1 }, (_, at) => at))
  await endStore(files)
})
