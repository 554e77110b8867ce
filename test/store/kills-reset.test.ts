// A process that dies at any step of a reset: the layer has its former content, or that of its parent.
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { LayerStore } from '../../lib/entry/store.js'
import { endStore, keysOf, storeFiles, thinIdsBy, type StoreFiles } from '../helpers/store/stores.js'
import { useScratch } from '../helpers/kernel/scratch.js'

useScratch()

/** Resets the layer `live` in a process that kills itself at a step. Returns the steps that it reached. */
function resetKilled(files: StoreFiles, step = ''): { steps: string[]; signal: string | null } {
  const source = `
    const { subscribe } = require('node:diagnostics_channel')
    const { writeSync } = require('node:fs')
    const { LayerStore } = require(${JSON.stringify(path.join(__dirname, '../../dist/entry/store.js'))})
    const run = async () => {
      const store = await LayerStore.open(${JSON.stringify(files.options)})
      subscribe('dm-thin:store', each => {
        writeSync(1, each.step + '\\n')
        if (each.step === ${JSON.stringify(step)}) process.kill(process.pid, 'SIGKILL')
      })
      await store.reset('live')
      await store.close()
    }
    run()`
  const { stdout, stderr, signal } = spawnSync(process.execPath, ['-e', source], { encoding: 'utf8' })
  expect(stderr).toBe('')
  return { steps: stdout.split('\n').filter(Boolean), signal }
}

test('a process that is killed at any step of a reset leaves the former content or that of the parent', async () => {
  const files = storeFiles()
  const first = await LayerStore.open(files.options)
  const write = (store: LayerStore, key: string, text: string) =>
    store.withMounted(key, async folder => writeFileSync(path.join(folder, 'file'), text))
  await first.prepare('a', '')
  await write(first, 'a', 'parent')
  await first.commit('base', 'a')
  await first.prepare('live', 'base')
  await first.close()
  const whole = resetKilled(files)
  expect(whole.signal).toBeNull()
  const steps = [...new Set(whole.steps)]
  expect(steps).toEqual(
    expect.arrayContaining(
      ['intent', 'flush', 'move', 'renumber', 'return', 'point', 'record'].map(each => `reset.${each}`),
    ),
  )
  // A step is published before it is done: the device has the new content from the one after the move on.
  const isNew = (step: string) => steps.indexOf(step) > steps.indexOf('reset.move')
  for (const step of steps) {
    const before = await LayerStore.open(files.options)
    await write(before, 'live', 'changed')
    await before.close()
    expect(resetKilled(files, step)).toMatchObject({ signal: 'SIGKILL' })
    const store = await LayerStore.open(files.options)
    const text = await store.withMounted('live', async folder => readFileSync(path.join(folder, 'file'), 'utf8'))
    expect([step, text]).toEqual([step, isNew(step) ? 'parent' : 'changed'])
    expect(await store.cleanup()).toEqual([])
    expect(await store.verify()).toEqual([])
    expect(await keysOf(store)).toEqual(['base', 'live'])
    expect(thinIdsBy(files.poolName)).toHaveLength(3)
    await store.close()
  }
  await endStore(files)
})
