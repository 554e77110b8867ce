// A store after the death of a process that worked on it, held to what that was promised.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { LayerStore } from '../../../lib/entry/store.js'
import { markedDevices } from '../kernel/kernel-state.js'
import { contentOf, type Promised } from './store-child.js'
import { keysOf, thinIdsBy, type StoreFiles } from './stores.js'

/** Opens the store after a death, holds it to what was promised, and takes everything of the dead one away. */
export async function held(files: StoreFiles, { keys, gone, grownBytes }: Promised): Promise<void> {
  const store = await LayerStore.open(files.options)
  const there = await keysOf(store)
  for (const key of keys) expect(there).toContain(key)
  for (const key of gone) expect(there).not.toContain(key)
  expect((await store.status()).pool.data!.totalBytes).toBeGreaterThanOrEqual(grownBytes)
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
  await store.prune()
  expect(await store.cleanup()).toEqual([])
  expect(thinIdsBy(files.poolName)).toHaveLength(bases)
  const ours = markedDevices().filter(({ name }) => `${name}-`.startsWith(`${files.poolName}-`))
  expect(ours.map(({ name }) => name)).toEqual([files.poolName])
  await store.close()
}
