// A process that dies at any step of any call: what it was told is there, byte for byte; nothing half-made is to be
// seen, and nothing leaks.
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { LayerStore } from '../../lib/entry/store.js'
import { run } from '../helpers/process/spawned.js'
import { makeImage } from '../helpers/store/oci-image.js'
import { endStore, keysOf, storeFiles, thinIdsBy, type StoreFiles } from '../helpers/store/stores.js'
import { useScratch } from '../helpers/kernel/scratch.js'
import { imageToImport, killedWork, together } from '../helpers/store/store-child.js'
import { held } from '../helpers/store/store-held.js'

const scratch = useScratch()

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

test('a process that is killed at any step of its work loses nothing acknowledged and leaks nothing', () =>
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

test('a process that is killed at a step of commit, grow, warm or import loses nothing acknowledged', async () => {
  const files = storeFiles()
  const image = imageToImport(scratch)
  const first = await killedWork(files.options, 'first', {}, { image })
  expect(first.ending).toBe('end')
  await held(files, first)
  // The first of its kind in the call.
  const points = new Map<string, { step: string; nth: number }>()
  first.steps.forEach((step, at) => {
    const call = first.calls[at]!
    const isAsked = ['grow', 'warm', 'import'].includes(call) || step === 'commit.copy'
    if (!isAsked || step.startsWith('base.') || points.has(`${call} ${step}`)) return
    points.set(`${call} ${step}`, { step, nth: first.steps.slice(0, at + 1).filter(each => each === step).length })
  })
  const steps = [...points.keys()]
  for (const step of ['commit commit.copy', 'grow grow.pool', 'grow grow.allocate', 'warm prepare.snapshot'])
    expect(steps).toContain(step)
  for (const step of ['prepare.snapshot', 'prepare.record', 'commit.deactivate', 'commit.point', 'commit.record'])
    expect(steps).toContain(`import ${step}`)
  for (const [at, kill] of [...points.values()].entries()) {
    const promised = await killedWork(files.options, `m${at}x`, kill, { image })
    expect([steps[at], promised.ending]).toEqual([steps[at], 'SIGKILL'])
    await held(files, promised)
  }
  await endStore(files)
})

test('two processes that are killed at random with concurrent calls lose nothing acknowledged', async () => {
  scratch.log.allow(/transaction id/) // each raises it, and hears from the kernel when the other was quicker
  const files = storeFiles()
  const image = imageToImport(scratch)
  await held(files, together(await Promise.all(['a', 'b'].map(name => killedWork(files.options, name, {}, { image })))))
  for (let round = 0; round < 6; round += 1) {
    const kill = (at: number) => ({ afterSteps: 12 * (round + at), afterMs: 7 * round })
    const promised = await Promise.all([
      killedWork(files.options, `p${round}x`, kill(1), { wide: 2, image }),
      killedWork(files.options, `q${round}x`, kill(2), { wide: 2 }),
    ])
    await held(files, together(promised))
  }
  await endStore(files)
})

test('a process that is killed at random with concurrent calls loses nothing acknowledged', () =>
  afterOneRound(async files => {
    for (let round = 0; round < 10; round += 1) {
      const promised = await killedWork(
        files.options,
        `r${round}x`,
        { afterSteps: 16 * round, afterMs: 5 * round },
        { wide: 4 },
      )
      await held(files, promised)
    }
  }))

test('a process that is killed while it creates the base volume leaves a consistent store', async () => {
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

test('a process that is killed during an import leaves no partial layer, and the next import succeeds', async () => {
  const files = storeFiles()
  const archive = scratch.path('image.tar')
  const layers = [{ low: 'low' }, { high: 'high'.repeat(100_000) }]
  makeImage({ folder: scratch.path('making'), name: 'a:1', busybox: '/bin/true', layers, archive })
  run('gzip', [archive])
  const image = `${archive}.gz` // is unpacked before it is imported
  const staging = path.join(files.directory, 'staging')
  for (const step of ['prepare.record', 'commit.deactivate', 'commit.point', 'commit.record']) {
    const source = `
      const { subscribe } = require('node:diagnostics_channel')
      let left = 2
      subscribe('dm-thin:store', each => {
        if (each.step === ${JSON.stringify(step)} && --left === 0) process.kill(process.pid, 'SIGKILL')
      })
      const { LayerStore } = require(${JSON.stringify(path.join(__dirname, '../../dist/entry/store.js'))})
      LayerStore.open(${JSON.stringify(files.options)}).then(store => store.importImage(${JSON.stringify(image)}))`
    expect(spawnSync(process.execPath, ['-e', source]).signal).toBe('SIGKILL')
    expect(readdirSync(staging)).toHaveLength(1)
    const store = await LayerStore.open(files.options)
    expect(await keysOf(store)).toHaveLength(1)
    expect(readdirSync(staging)).toEqual([])
    const { layers: keys, top } = await store.importImage(image)
    await store.withMounted(top, async folder =>
      expect(readFileSync(path.join(folder, 'high'), 'utf8')).toBe(layers[1]!.high),
    )
    expect(await store.cleanup()).toEqual([])
    expect(await store.verify()).toEqual([])
    expect(thinIdsBy(files.poolName)).toHaveLength(3)
    for (const key of [...keys].reverse()) await store.remove(key)
    await store.cleanup()
    await store.close()
  }
  await endStore(files)
})
