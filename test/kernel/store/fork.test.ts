// Layers that are made of an active layer in use.
//
// Scenario                                              Test
// one moment: a mounted file system, a raw device       has the files …; a fork of a raw layer …
// many, one suspend, progress                           a fork of 150 layers …
// all or none                                           leaves nothing …
import { spawn } from 'node:child_process'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { MiB } from '../../../lib/entry/index.js'
import type { CallMessage } from '../../../lib/entry/kernel.js'
import type { LayerStore, OpenStoreOptions } from '../../../lib/entry/store.js'
import { readAt } from '../../helpers/kernel/blocks.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { run } from '../../helpers/process/spawned.js'
import { keysOf, thinIdsBy, withStore } from '../../helpers/store/stores.js'
import { useScratch } from '../../helpers/kernel/scratch.js'

const scratch = useScratch()
const POOL_PAGE = 4096

const read = (store: LayerStore, key: string, name: string) =>
  store.withMounted(key, async folder => readFileSync(path.join(folder, name), 'utf8'))

/** Mounts a layer as a container would, while `body` runs. */
async function mounted<T>(store: LayerStore, key: string, body: (folder: string) => Promise<T>): Promise<T> {
  const folder = scratch.path(scratch.name('mounted'))
  mkdirSync(folder)
  const layer = await store.layer(key)
  await layer.mount(folder)
  try {
    return await body(folder)
  } finally {
    await layer.unmount(folder)
  }
}

/** The snapshots that `body` takes of a volume, by the trace: each such call suspends the volume once, if it is active. */
async function snapshotsOf(origin: number, body: () => Promise<unknown>): Promise<number> {
  let snapshots = 0
  const listen = (message: unknown) => {
    const [request] = (message as CallMessage).args as [{ originId?: number } | undefined]
    if (request?.originId === origin) snapshots += 1
  }
  subscribe('tracing:dm-thin:call:asyncEnd', listen)
  try {
    await body()
  } finally {
    unsubscribe('tracing:dm-thin:call:asyncEnd', listen)
  }
  return snapshots
}

describe.each(['ext4', 'xfs'] as const)('checkpoint on %s', fileSystem => {
  test('has the files of a mounted layer at that moment, and the layer stays in use', () =>
    withStore({ fileSystem }, async store => {
      await store.prepare('a', '')
      await store.commit('base', 'a')
      await store.prepare('live', 'base')
      await mounted(store, 'live', async folder => {
        writeFileSync(path.join(folder, 'before'), 'before')
        await store.checkpoint('point', 'live', { labels: { who: 'me' } })
        writeFileSync(path.join(folder, 'after'), 'after')
        expect(await read(store, 'point', 'before')).toBe('before')
        await expect(read(store, 'point', 'after')).rejects.toMatchObject({ code: 'ENOENT' })
      })
      expect(await read(store, 'live', 'after')).toBe('after')
      expect(await store.stat('point')).toMatchObject({ kind: 'committed', parent: 'base', labels: { who: 'me' } })
      expect(await store.stat('live')).toMatchObject({ kind: 'active', parent: 'base' })
      await store.prepare('child', 'point')
      expect(await read(store, 'child', 'before')).toBe('before')
      await store.remove('live')
      await store.cleanup()
      expect(await store.verify()).toEqual([])
    }))
})

test('a checkpoint of a layer that is not mounted or not active on the kernel has its content', () =>
  withStore({}, async (store, { poolName }) => {
    await store.prepare('live', '')
    await store.withMounted('live', async folder => writeFileSync(path.join(folder, 'file'), 'content'))
    run('dmsetup', ['remove', `${poolName}-1`])
    await store.checkpoint('point', 'live')
    expect(await read(store, 'point', 'file')).toBe('content')
  }))

/** Writes 1, 2, 3 … to all pages of a device in their order, again and again, each on the device before the next. */
const WRITER = `
  const { constants, openSync, writeSync } = require('node:fs')
  const file = openSync(process.argv[1], constants.O_RDWR | constants.O_SYNC)
  const page = Buffer.alloc(${POOL_PAGE})
  for (let round = 1; ; round++) {
    page.fill(0)
    page.writeUInt32LE(round)
    for (let at = 0; at < 64; at++) writeSync(file, page, 0, page.length, at * 65536)
    if (round === 1) console.log('begun')
  }`

/** The number in each page that the writer writes. */
async function pagesOf(device: string): Promise<number[]> {
  const bytes = await readAt(device, 0, 64 * 65536)
  return Array.from({ length: 64 }, (_, at) => bytes.readUInt32LE(at * 65536))
}

test('a fork of a raw layer that is written has the content of one moment in each new layer', () =>
  withStore({}, async store => {
    const { device } = await store.prepare('vm', '', { raw: true })
    const writer = spawn(process.execPath, ['-e', WRITER, device], { stdio: ['ignore', 'pipe', 'inherit'] })
    await new Promise(done => writer.stdout.once('data', done))
    try {
      for (let round = 0; round < 3; round++) {
        const keys = ['a', 'b', 'c', 'd'].map(letter => `${letter}${round}`)
        const { layers, name } = await store.fork('vm', keys)
        expect(layers.map(({ key, parent, mounts }) => [key, parent, mounts])).toEqual(keys.map(key => [key, name, []]))
        const pages = await Promise.all(layers.map(layer => pagesOf(layer.device)))
        for (const other of pages) expect(other).toEqual(pages[0])
        // The writer was at one page: those before it have its number, and the others the one before that.
        const [newest, oldest] = [pages[0]![0]!, pages[0]!.at(-1)!]
        expect(newest - oldest).toBeLessThanOrEqual(1)
        expect(pages[0]).toEqual([...pages[0]!].sort((a, b) => b - a))
      }
    } finally {
      writer.kill('SIGKILL')
      await new Promise(done => writer.once('close', done))
    }
    const forked = await store.layer('a2')
    expect((await pagesOf(device))[0]).toBeGreaterThanOrEqual((await pagesOf(forked.device))[0]!)
  }))

const SMALL: Partial<OpenStoreOptions> = { sizeBytes: 64 * MiB }

test('a fork of 150 layers suspends the layer once, reports progress, and makes layers that differ from then on', () =>
  withStore(SMALL, async store => {
    await store.prepare('live', '')
    await store.withMounted('live', async folder => writeFileSync(path.join(folder, 'shared'), 'shared'))
    const keys = Array.from({ length: 150 }, (_, at) => `fork-${at}`)
    const done: number[] = []
    const onProgress = (progress: { done: number; total: number }) => {
      expect(progress.total).toBe(150)
      done.push(progress.done)
    }
    let forked: Awaited<ReturnType<LayerStore['fork']>> | undefined
    const snapshots = await snapshotsOf(1, async () => {
      forked = await store.fork('live', keys, { name: 'point', labels: { of: 'live' }, onProgress })
    })
    expect(snapshots).toBe(1)
    expect(done).toEqual(Array.from({ length: 150 }, (_, at) => at + 1))
    expect(forked!.name).toBe('point')
    expect(new Set(forked!.layers.map(({ device }) => device)).size).toBe(150)
    expect(await store.stat('fork-149')).toMatchObject({ kind: 'active', parent: 'point', labels: { of: 'live' } })
    await store.withMounted('fork-3', async folder => writeFileSync(path.join(folder, 'own'), 'own'))
    expect(await read(store, 'fork-3', 'shared')).toBe('shared')
    await expect(read(store, 'fork-4', 'own')).rejects.toMatchObject({ code: 'ENOENT' })
    await expectCode(store.remove('point'), 'DM_LAYER_HAS_CHILDREN')
    await Promise.all(keys.map(key => store.remove(key)))
    await store.remove('point')
    expect(await store.cleanup()).toEqual([])
    expect(await keysOf(store)).toEqual(['live'])
    expect(await store.verify()).toEqual([])
  }))

describe('fork', () => {
  const nothingLeft = async (store: LayerStore, poolName: string, keys: readonly string[]) => {
    expect(await keysOf(store)).toEqual(keys)
    expect(await store.cleanup()).toEqual([])
    expect(await store.verify()).toEqual([])
    expect(thinIdsBy(poolName)).toHaveLength(keys.length + 1) // and the empty file system
  }

  test('leaves nothing and rejects with DM_LAYER_EXISTS if a key or the name of the checkpoint is taken', () =>
    withStore({}, async (store, { poolName }) => {
      await store.prepare('live', '')
      await store.prepare('taken', '')
      await expectCode(store.fork('live', ['new', 'taken']), 'DM_LAYER_EXISTS')
      await expectCode(store.fork('live', ['new'], { name: 'taken' }), 'DM_LAYER_EXISTS')
      await expectCode(store.checkpoint('taken', 'live'), 'DM_LAYER_EXISTS')
      await nothingLeft(store, poolName, ['live', 'taken'])
    }))

  test('leaves nothing and rejects with ABORT_ERR if it is aborted in the middle', () =>
    withStore(SMALL, async (store, { poolName }) => {
      await store.prepare('live', '')
      const controller = new AbortController()
      const onProgress = ({ done }: { done: number }) => {
        if (done === 60) controller.abort()
      }
      const keys = Array.from({ length: 120 }, (_, at) => `fork-${at}`)
      await expectCode(store.fork('live', keys, { signal: controller.signal, onProgress }), 'ABORT_ERR')
      await nothingLeft(store, poolName, ['live'])
    }))

  test('leaves nothing and rejects with the error of a progress function', () =>
    withStore(SMALL, async (store, { poolName }) => {
      await store.prepare('live', '')
      const fault = new Error('not mine')
      const onProgress = () => {
        throw fault
      }
      await expect(store.fork('live', ['a', 'b'], { onProgress })).rejects.toBe(fault)
      await nothingLeft(store, poolName, ['live'])
    }))

  test('leaves nothing and rejects with DM_POOL_FULL if less than the reserve is free', () =>
    withStore({ dataBytes: 88 * MiB }, async (store, { poolName }) => {
      await store.prepare('live', '')
      await store.withMounted('live', async folder =>
        writeFileSync(path.join(folder, 'large'), Buffer.alloc(40 * MiB, 'x')),
      )
      await store.prepare('more', '')
      await store.withMounted('more', async folder =>
        writeFileSync(path.join(folder, 'large'), Buffer.alloc(40 * MiB, 'y')),
      )
      await expectCode(store.fork('live', ['a']), 'DM_POOL_FULL')
      await expectCode(store.checkpoint('point', 'live'), 'DM_POOL_FULL')
      await nothingLeft(store, poolName, ['live', 'more'])
    }))

  test('leaves nothing and rejects with DM_LAYER_STATE for a view or a committed layer, and with DM_LAYER_NOT_FOUND for no layer', () =>
    withStore({}, async (store, { poolName }) => {
      await store.prepare('a', '')
      await store.commit('base', 'a')
      await store.view('view', 'base')
      for (const key of ['base', 'view']) {
        await expectCode(store.fork(key, ['x']), 'DM_LAYER_STATE')
        await expectCode(store.checkpoint('x', key), 'DM_LAYER_STATE')
      }
      await expectCode(store.fork('none', ['x']), 'DM_LAYER_NOT_FOUND')
      await nothingLeft(store, poolName, ['base', 'view'])
    }))

  test('leaves nothing and rejects with DM_INVALID_ARGUMENT for keys that repeat, are none, or are too many', () =>
    withStore({}, async store => {
      for (const keys of [[], ['x', 'x'], ['live'], Array.from({ length: 1001 }, (_, at) => `k${at}`)])
        await expectCode(store.fork('live', keys), 'DM_INVALID_ARGUMENT')
    }))
})

test('a fork takes other thin ids if another program has those it chose', () =>
  withStore({}, async (store, { poolName }) => {
    scratch.log.allow(/thin: Creation of/)
    await store.prepare('live', '')
    // The ids after the copy's, and two that the store has claimed for layers.
    const copy = 1 + 256
    const foreign = [3, 4, copy + 1, copy + 2]
    for (const id of foreign) run('dmsetup', ['message', poolName, '0', `create_thin ${id}`])
    const { layers } = await store.fork('live', ['a', 'b', 'c'])
    expect(layers).toHaveLength(3)
    await store.cleanup()
    expect((await store.verify()).map(({ kind, thin }) => [kind, thin])).toEqual(
      foreign.map(id => ['volume-without-layer', id]),
    )
    expect(thinIdsBy(poolName).filter(id => id > copy)).toHaveLength(2 + 1 + 3)
    for (const id of foreign) run('dmsetup', ['message', poolName, '0', `delete ${id}`])
  }))
