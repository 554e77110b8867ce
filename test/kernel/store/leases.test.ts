// Calls on one layer at the same time, in one process and in two: none writes into what another has committed, and none
// removes what another needs.
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { LayerStore, type OpenStoreOptions } from '../../../lib/entry/store.js'
import { archive } from '../../helpers/tree/archives.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { makeImage } from '../../helpers/store/oci-image.js'
import { keysOf, thinIdsBy, withStore } from '../../helpers/store/stores.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { dmInfo } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()

const write = (store: LayerStore, key: string, name: string) =>
  store.withMounted(key, async folder => writeFileSync(path.join(folder, name), name))
const has = (store: LayerStore, key: string, name: string) =>
  store.withMounted(key, async folder => existsSync(path.join(folder, name)))

/** A process that opens the store, does `work` and stops itself when it comes to `step` for the `nth` time. */
async function stoppedAt(options: OpenStoreOptions, { step, nth = 1 }: { step: string; nth?: number }, work: string) {
  const source = `
    const { subscribe } = require('node:diagnostics_channel')
    const { writeFileSync } = require('node:fs')
    let left = ${nth}
    subscribe('dm-thin:store', each => {
      if (each.step === ${JSON.stringify(step)} && --left === 0) process.kill(process.pid, 'SIGSTOP')
    })
    const { LayerStore } = require(${JSON.stringify(path.join(__dirname, '../../../dist/entry/store.js'))})
    LayerStore.open(${JSON.stringify(options)}).then(async store => {
      await (async () => { ${work} })().then(() => console.log('done'), fault => console.log(fault.message))
      await store.close()
    })`
  const child = spawn(process.execPath, ['-e', source], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  const ended = new Promise<string>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', () => resolve(text.trim()))
  })
  while (!/^State:\s+T/m.test(readFileSync(`/proc/${child.pid}/status`, 'utf8'))) await sleep(20)
  return {
    /** Resolves with `done`, or why it failed. */
    goOn: () => {
      child.kill('SIGCONT')
      return ended
    },
  }
}

test('withMounted during a commit rejects, and writes nothing into the committed layer', () =>
  withStore({}, async store => {
    await store.prepare('a')
    const [committed, mounted] = await Promise.allSettled([store.commit('layer', 'a'), write(store, 'a', 'late')])
    expect(committed.status).toBe('fulfilled')
    expect(mounted).toMatchObject({ status: 'rejected', reason: { code: 'DM_LAYER_NOT_FOUND' } })
    expect(await has(store, 'layer', 'late')).toBe(false)
  }))

test('applyLayer during a commit rejects, and writes nothing into the committed layer', () =>
  withStore({}, async store => {
    await store.prepare('a')
    const tar = archive({ name: 'late', content: 'late' })
    const [, applied] = await Promise.allSettled([
      store.commit('layer', 'a'),
      store.applyLayer(
        'a',
        (async function* () {
          yield tar
        })(),
      ),
    ])
    expect(applied).toMatchObject({ status: 'rejected', reason: { code: 'DM_LAYER_NOT_FOUND' } })
    expect(await has(store, 'layer', 'late')).toBe(false)
  }))

test('a layer that another process is about to activate is committed as a copy without later writes', () =>
  withStore({}, async (store, { options, poolName }) => {
    await store.prepare('a')
    await write(store, 'a', 'early')
    const work = `await store.withMounted('a', async folder => writeFileSync(folder + '/late', 'late'))`
    const other = await stoppedAt(options, { step: 'mounted.activate' }, work)
    await store.commit('layer', 'a')
    const [stuck] = await store.cleanup()
    expect(stuck?.error.code).toBe('DM_BUSY')
    expect(await other.goOn()).toBe('done')
    expect([await has(store, 'layer', 'early'), await has(store, 'layer', 'late')]).toEqual([true, false])
    expect(await store.cleanup()).toEqual([])
    expect(await store.verify()).toEqual([])
    expect(thinIdsBy(poolName)).toHaveLength(2)
  }))

test('a volume is not deleted while another process has a lease on its layer', () =>
  withStore({}, async (store, { options, poolName }) => {
    await store.prepare('a')
    const other = await stoppedAt(options, { step: 'mounted.activate' }, `await store.withMounted('a', async () => {})`)
    await store.remove('a')
    expect((await store.cleanup()).map(({ error }) => error.code)).toEqual(['DM_BUSY'])
    expect(thinIdsBy(poolName)).toHaveLength(2)
    expect(await other.goOn()).toBe('done')
    expect(await store.cleanup()).toEqual([])
    expect(thinIdsBy(poolName)).toHaveLength(1)
  }))

test('a rejected remove keeps the warm set', () =>
  withStore({}, async store => {
    await store.prepare('a')
    await store.commit('layer', 'a')
    await store.prepare('child', 'layer')
    await store.warm('layer', 2)
    await expectCode(store.remove('layer'), 'DM_LAYER_HAS_CHILDREN')
    expect((await store.status()).warm).toEqual({ layer: 2 })
  }))

test('prune keeps and remove rejects the layers of an import in another process', async () => {
  const image = scratch.path('image.tar')
  const layers = [{ low: 'low' }, { high: 'high' }]
  makeImage({ folder: scratch.path('making'), name: 'a:1', busybox: '/bin/true', layers, archive: image })
  for (const step of ['prepare.record', 'prepare.snapshot', 'commit.record']) {
    await withStore({}, async (store, { options }) => {
      const work = `await store.importImage(${JSON.stringify(image)})`
      const other = await stoppedAt(options, { step, nth: 2 }, work)
      expect(await store.prune()).toEqual([])
      const [lowest = ''] = await keysOf(store)
      await expectCode(store.remove(lowest), 'DM_LAYER_STATE')
      expect(await other.goOn()).toBe('done')
      expect(await keysOf(store)).toHaveLength(2)
      expect(await store.prune()).toHaveLength(2) // the leases have ended with the import
    })
  }
})

test('prune keeps a layer for which another object has a warm set', () =>
  withStore({}, async (store, { options }) => {
    const other = await LayerStore.open(options)
    await store.prepare('a')
    await store.commit('layer', 'a')
    await other.warm('layer', 1)
    expect(await store.prune({ dryRun: true })).toEqual([])
    await other.close()
    expect(await store.prune()).toHaveLength(1)
  }))

test('takeDown rejects with DM_BUSY while another object has the store open', () =>
  withStore({}, async (store, { options, poolName }) => {
    const other = await LayerStore.open(options)
    await expectCode(other.takeDown(), 'DM_BUSY')
    await expectCode(other.stat('a'), 'DM_CLOSED')
    expect(dmInfo(poolName)).toBeDefined()
    await store.prepare('a')
  }))

test('an import that strips set-user-id bits does not reuse a layer that was imported with them', () =>
  withStore({}, async store => {
    const image = scratch.path('policy.tar')
    const files = { folder: scratch.path('policy'), name: 'a:1', busybox: '/bin/true' }
    makeImage({ ...files, layers: [{ file: 'content' }], archive: image })
    const kept = await store.importImage(image)
    const stripped = await store.importImage(image, { setuid: 'strip', devices: 'skip' })
    expect(stripped.top).toBe(`${kept.top};devices=skip;setuid=strip`)
    expect(await keysOf(store)).toEqual([kept.top, stripped.top])
  }))

describe('applyLayer that fails', () => {
  const failing = async function* (): AsyncGenerator<Uint8Array> {
    throw new Error('no connection')
  }

  test('leaves the layer unchanged if the stream has yielded nothing', () =>
    withStore({}, async store => {
      await store.prepare('a')
      await write(store, 'a', 'mine')
      await expectCode(store.applyLayer('a', failing(), { maxByte: 1 } as never), 'DM_INVALID_ARGUMENT')
      await expectCode(store.applyLayer('a', failing(), { maxBytes: -1 }), 'DM_INVALID_ARGUMENT')
      await expectCode(store.applyLayer('a', undefined as never), 'DM_INVALID_ARGUMENT')
      await expect(store.applyLayer('a', failing())).rejects.toThrow('no connection')
      expect(await has(store, 'a', 'mine')).toBe(true)
    }))

  test('removes the layer if the stream has yielded something', () =>
    withStore({}, async store => {
      await store.prepare('a')
      const half = async function* () {
        yield archive({ name: 'file', content: 'x'.repeat(10_000) }).subarray(0, 4096)
      }
      await expectCode(store.applyLayer('a', half()), 'DM_LAYER_TAR')
      expect(await keysOf(store)).toEqual([])
    }))
})
