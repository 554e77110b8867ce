// A process that dies at any step of a checkpoint, a fork or the import of a raw image: all new layers are there, or none.
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { MiB } from '../../lib/entry/index.js'
import { LayerStore } from '../../lib/entry/store.js'
import { endStore, keysOf, storeFiles, thinIdsBy, type StoreFiles } from '../helpers/store/stores.js'
import { useScratch } from '../helpers/kernel/scratch.js'

const scratch = useScratch()

const KEYS = Array.from({ length: 20 }, (_, at) => `fork-${String(at).padStart(3, '0')}`)

/** Imports a raw image and forks the layer `live`, in a process that kills itself at the `nth` time of a step. Returns the steps it came to. */
function workKilled(files: StoreFiles, image: string, step = '', nth = 1): { steps: string[]; signal: string | null } {
  const source = `
    const { subscribe } = require('node:diagnostics_channel')
    const { writeSync } = require('node:fs')
    let left = ${nth}
    const { LayerStore } = require(${JSON.stringify(path.join(__dirname, '../../dist/entry/store.js'))})
    const run = async () => {
      const store = await LayerStore.open(${JSON.stringify(files.options)})
      subscribe('dm-thin:store', each => {
        writeSync(1, each.step + '\\n')
        if (each.step === ${JSON.stringify(step)} && --left === 0) process.kill(process.pid, 'SIGKILL')
      })
      await store.importRaw('raw', ${JSON.stringify(image)})
      await store.checkpoint('point', 'live')
      await store.fork('live', ${JSON.stringify(KEYS)}, { name: 'forked' })
      await store.close()
    }
    run()`
  const { stdout, stderr, signal } = spawnSync(process.execPath, ['-e', source], { encoding: 'utf8' })
  expect(stderr).toBe('')
  return { steps: stdout.split('\n').filter(Boolean), signal }
}

test('a process that is killed at any step of importRaw, checkpoint or fork leaves all of the new layers or none', async () => {
  const image = scratch.path('disk.img')
  writeFileSync(image, Buffer.alloc(3 * MiB, 'd'))
  const files = storeFiles()
  const before = await LayerStore.open(files.options)
  await before.prepare('live', '')
  await before.close()
  const whole = workKilled(files, image)
  expect(whole.signal).toBeNull()
  const kills = new Map<string, { step: string; nth: number }>()
  // The first and the last time of each step.
  for (const [at, step] of whole.steps.entries()) {
    const nth = whole.steps.slice(0, at + 1).filter(each => each === step).length
    if (nth === 1) kills.set(`${step} 1`, { step, nth })
    else kills.set(`${step} last`, { step, nth })
  }
  for (const step of [
    'raw.intent',
    'raw.create',
    'raw.write',
    'commit.deactivate',
    'commit.record',
    'checkpoint.copy',
    'checkpoint.record',
    'fork.copy',
    'fork.intent',
    'fork.snapshots',
    'fork.record',
  ])
    expect(whole.steps).toContain(step)
  for (const kill of [undefined, ...kills.values()]) {
    if (kill !== undefined) expect(workKilled(files, image, kill.step, kill.nth)).toMatchObject({ signal: 'SIGKILL' })
    const store = await LayerStore.open(files.options)
    const there = await keysOf(store)
    expect(there).toContain('live')
    const forked = there.filter(key => key.startsWith('fork'))
    expect({ kill, forked: [0, KEYS.length + 1].includes(forked.length) || forked }).toEqual({ kill, forked: true })
    expect(await store.cleanup()).toEqual([])
    expect(await store.verify()).toEqual([])
    expect(thinIdsBy(files.poolName)).toHaveLength(there.length + 1)
    const [parents, children] = [
      there.filter(key => /^(raw|point|forked)$/.test(key)),
      there.filter(key => /^fork-/.test(key)),
    ]
    await Promise.all(children.map(key => store.remove(key)))
    for (const key of parents) await store.remove(key)
    await store.cleanup()
    await store.close()
  }
  await endStore(files)
})
