// A process that dies at any step of any call: what it was told is there, byte for byte; nothing half-made is to be
// seen, and nothing leaks.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { LayerStore } from '../../lib/exports/store.js'
import { endStore, keysOf, storeFiles, thinIdsBy, type StoreFiles } from '../helpers/stores.js'
import { useScratch } from '../helpers/scratch.js'
import { contentOf, killedWork, type Promised } from '../helpers/store-child.js'
import { markedDevices } from '../helpers/kernel-state.js'

const scratch = useScratch()
/** What was only begun is not in the pool: the kernel says so when it is to be taken away. */
beforeEach(() =>
  scratch.log.allow(/thin: (Couldn't open thin internal|Deletion of thin)/, /ioctl: error adding target/),
)

/** Opens the store after a death, holds it to what was promised, and takes everything of the dead one away. */
async function held(files: StoreFiles, { keys, gone }: Promised): Promise<void> {
  const store = await LayerStore.open(files.options)
  const there = await keysOf(store)
  for (const key of keys) expect(there).toContain(key)
  for (const key of gone) expect(there).not.toContain(key)
  for (const finding of store.findings) expect(['unfinished', 'left-mounted']).toContain(finding.kind)
  for (const key of keys) {
    // One that was active may have been killed before it was filled: a committed one was filled.
    if ((await store.stat(key)).parent === '' && !key.endsWith('-layer')) continue
    const text = await store.withMounted(key, async folder => readFileSync(path.join(folder, 'content'), 'utf8'))
    expect(text).toBe(contentOf(key))
  }
  // Whatever there is can be used, also what was not promised.
  for (const key of there) if ((await store.stat(key)).kind !== 'committed') await store.mounts(key)
  expect(await store.cleanup()).toEqual([])
  expect(await store.verify()).toEqual([])
  const bases = 1
  expect(thinIdsBy(files.poolName)).toHaveLength(there.length + bases)
  for (const key of there) if ((await store.stat(key)).kind !== 'committed') await store.remove(key)
  for (const key of there.filter(each => each.endsWith('-layer'))) await store.remove(key)
  expect(await store.cleanup()).toEqual([])
  expect(thinIdsBy(files.poolName)).toHaveLength(bases)
  expect(markedDevices().map(device => device.name)).toEqual([files.poolName])
  await store.close()
}

/** A store that one whole round has passed over: the steps of it, and then whatever `body` does. */
async function afterOneRound(body: (files: StoreFiles, steps: readonly string[]) => Promise<void>): Promise<void> {
  const files = storeFiles()
  const promised = await killedWork(files.options, 'first', {})
  expect(promised.ending).toBe('end')
  await held(files, promised)
  await body(
    files,
    promised.steps.filter(step => !step.startsWith('base.')),
  )
  await endStore(files)
}

test('at every step', () =>
  afterOneRound(async (files, steps) => {
    const points = [...new Set(steps)]
    expect(points.length).toBeGreaterThan(15)
    for (const step of points) {
      // The last of its kind: most comes before it.
      const nth = steps.filter(each => each === step).length
      const promised = await killedWork(files.options, `s${points.indexOf(step)}x`, { step, nth })
      expect([step, promised.ending]).toEqual([step, 'SIGKILL'])
      await held(files, promised)
    }
  }))

test('at random, with several calls at once', () =>
  afterOneRound(async files => {
    for (let round = 0; round < 10; round += 1) {
      const promised = await killedWork(files.options, `r${round}x`, { afterMs: 300 + 250 * round }, 4)
      await held(files, promised)
    }
  }))

test('while the empty file system is made', async () => {
  for (const step of ['base.create', 'base.activate', 'base.format', 'base.empty', 'base.deactivate', 'base.record']) {
    const own = storeFiles()
    const promised = await killedWork(own.options, 'b', { step })
    expect(promised.ending).toBe('SIGKILL')
    const store = await LayerStore.open(own.options)
    expect(await keysOf(store)).toEqual([])
    await store.prepare('a', '')
    expect(await store.cleanup()).toEqual([])
    expect(await store.verify()).toEqual([])
    expect(thinIdsBy(own.poolName)).toHaveLength(2)
    await store.close()
    await endStore(own)
  }
})
