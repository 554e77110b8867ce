// Layers from the first to the last: made, written, committed, used as parents, removed; on ext4 and on xfs.
// @udev both
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { LayerStore, type LayerInfo } from '../../../lib/entry/store.js'
import { MiB, unmount } from '../../../lib/entry/index.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { run, tryRun } from '../../helpers/process/spawned.js'
import { endStore, keysOf, storeFiles, thinIdsBy, withStore } from '../../helpers/store/stores.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { dmCreate, dmInfo, dmMajor, dmRemove } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()

const write = (store: LayerStore, key: string, name: string, text: string) =>
  store.withMounted(key, async folder => writeFileSync(path.join(folder, name), text))
const read = (store: LayerStore, key: string, name: string) =>
  store.withMounted(key, async folder => readFileSync(path.join(folder, name), 'utf8'))

describe.each(['ext4', 'xfs'] as const)('layers on %s', fileSystem => {
  test('have the files of their parents, and a write to one does not change its parent', () =>
    withStore({ fileSystem }, async (store, { poolName }) => {
      const base = await store.prepare('base-active', '', { labels: { who: 'me' } })
      const [mount] = base.mounts
      expect(base.mounts).toHaveLength(1)
      expect(mount?.source).toMatch(/^\/dev\/dm-\d+$/)
      expect({ ...mount, source: '' }).toEqual({
        type: fileSystem,
        source: '',
        options: fileSystem === 'xfs' ? ['nouuid'] : [],
      })
      await write(store, 'base-active', 'id.txt', 'base')
      await store.commit('base', 'base-active')
      await store.prepare('middle-active', 'base')
      await write(store, 'middle-active', 'id.txt', 'middle')
      await write(store, 'middle-active', 'more.txt', 'more')
      await write(store, 'middle-active', 'large', 'x'.repeat(2 * MiB))
      await store.commit('middle', 'middle-active')
      const view = await store.view('view', 'middle')
      expect(view.mounts[0]?.options).toContain('ro')
      await store.prepare('top', 'middle')
      await write(store, 'top', 'id.txt', 'top')

      expect(await read(store, 'base', 'id.txt')).toBe('base')
      expect(await read(store, 'middle', 'id.txt')).toBe('middle')
      expect(await read(store, 'view', 'id.txt')).toBe('middle')
      expect(await read(store, 'view', 'more.txt')).toBe('more')
      expect(await read(store, 'top', 'id.txt')).toBe('top')
      await expect(write(store, 'view', 'id.txt', 'no')).rejects.toMatchObject({ code: 'EROFS' })

      await store.cleanup()
      // The empty file system, base, middle, view, top.
      expect(thinIdsBy(poolName)).toHaveLength(5)
      const infos: LayerInfo[] = []
      for await (const info of store.walk()) infos.push(info)
      expect(infos.map(({ key, parent, kind }) => [key, parent, kind])).toEqual([
        ['base', '', 'committed'],
        ['middle', 'base', 'committed'],
        ['top', 'middle', 'active'],
        ['view', 'middle', 'view'],
      ])
      const usage = await store.usage('middle')
      expect(usage.bytes).toBeGreaterThan(1 * MiB)
      expect(usage.bytes).toBeLessThan(8 * MiB)
    }))

  test('are grown before prepare() resolves, if they are larger than their parent', () =>
    withStore({ fileSystem }, async store => {
      await store.prepare('a', '')
      await store.commit('base', 'a')
      const small = await store.stat('base')
      const sizeBytes = 2 * small.sizeBytes
      const layer = await store.prepare('large', 'base', { sizeBytes })
      expect(tableOf(layer.mounts[0]!.source)).toContain(`0 ${sizeBytes / 512} thin`)
      await store.withMounted('large', async folder => {
        const blocks = run('stat', ['-f', '-c', '%b %S', folder]).trim().split(' ').map(Number)
        expect(blocks[0]! * blocks[1]!).toBeGreaterThan(1.5 * small.sizeBytes)
      })
      await expectCode(store.prepare('smaller', 'base', { sizeBytes: small.sizeBytes - MiB }), 'DM_INVALID_ARGUMENT')
      expect((await store.stat('large')).sizeBytes).toBe(sizeBytes)
    }))
})

const tableOf = (source: string): string =>
  run('dmsetup', ['table', '-j', dmMajor(), '-m', source.replace('/dev/dm-', '')])

test('invalid calls are rejected without side effects', () =>
  withStore({}, async (store, { poolName }) => {
    await store.prepare('active', '')
    await store.prepare('other', '')
    await store.commit('layer', 'other')
    await store.view('view', 'layer')
    const before = [await keysOf(store), thinIdsBy(poolName)]
    await expectCode(store.prepare('active', 'layer'), 'DM_LAYER_EXISTS')
    await expectCode(store.prepare('x', 'active'), 'DM_INVALID_ARGUMENT')
    await expectCode(store.prepare('x', 'view'), 'DM_INVALID_ARGUMENT')
    await expectCode(store.prepare('x', 'missing'), 'DM_LAYER_NOT_FOUND')
    await expectCode(store.prepare('', 'layer'), 'DM_INVALID_ARGUMENT')
    await expectCode(store.prepare('x', 'layer', { fileSystem: 'xfs' }), 'DM_INVALID_ARGUMENT')
    await expectCode(store.commit('layer', 'active'), 'DM_LAYER_EXISTS')
    await expectCode(store.commit('new', 'view'), 'DM_LAYER_STATE')
    await expectCode(store.commit('new', 'layer'), 'DM_LAYER_STATE')
    await expectCode(store.commit('new', 'missing'), 'DM_LAYER_NOT_FOUND')
    await expectCode(store.mounts('layer'), 'DM_LAYER_STATE')
    await expectCode(store.mounts('missing'), 'DM_LAYER_NOT_FOUND')
    const children = await expectCode(store.remove('layer'), 'DM_LAYER_HAS_CHILDREN')
    expect(children.message).toContain('remove')
    await expectCode(store.remove('missing'), 'DM_LAYER_NOT_FOUND')
    await expectCode(store.stat('missing'), 'DM_LAYER_NOT_FOUND')
    await expectCode(store.update('missing', { labels: {} }), 'DM_LAYER_NOT_FOUND')
    await expectCode(store.usage('missing'), 'DM_LAYER_NOT_FOUND')
    expect([await keysOf(store), thinIdsBy(poolName)]).toEqual(before)
  }))

test('commit replaces labels; update replaces all labels or sets some', () =>
  withStore({}, async store => {
    await store.prepare('a', '', { labels: { one: '1', two: '2' } })
    const before = await store.stat('a')
    expect(before.labels).toEqual({ one: '1', two: '2' })
    const updated = await store.update('a', { setLabels: { two: '', three: '3' } })
    expect(updated.labels).toEqual({ one: '1', three: '3' })
    expect(updated.updatedAt).toBeGreaterThan(before.updatedAt)
    expect(updated.createdAt).toBe(before.createdAt)
    expect((await store.update('a', { labels: { only: 'this' } })).labels).toEqual({ only: 'this' })
    await store.commit('layer', 'a', { labels: { done: 'yes' } })
    expect((await store.stat('layer')).labels).toEqual({ done: 'yes' })
    await expectCode(store.stat('a'), 'DM_LAYER_NOT_FOUND')
  }))

test('remove() hides the layer at once and frees its volume in the background', () =>
  withStore({}, async (store, { poolName, dataFile }) => {
    await store.prepare('a', '')
    await store.commit('layer', 'a')
    await store.prepare('big', 'layer')
    await store.withMounted('big', async folder => writeFileSync(path.join(folder, 'data'), Buffer.alloc(24 * MiB, 7)))
    run('sync', [])
    const full = statSync(dataFile).blocks * 512
    expect(full).toBeGreaterThan(24 * MiB)
    await store.remove('big')
    expect(await keysOf(store)).toEqual(['layer'])
    await store.prepare('big', 'layer') // the key is free at once
    expect(await store.cleanup()).toEqual([])
    expect(thinIdsBy(poolName)).toHaveLength(3)
    expect(statSync(dataFile).blocks * 512).toBeLessThan(full - 20 * MiB)
  }))

test('the removal of a mounted layer waits for the unmount and reports the holder', () =>
  withStore({}, async store => {
    const layer = await store.prepare('a', '')
    const target = scratch.path('mounted')
    mkdirSync(target)
    await layer.mount(target)
    await store.remove('a')
    const [stuck] = await store.cleanup()
    expect(stuck?.error.code).toBe('DM_BUSY')
    expect(stuck?.error.holders).toContainEqual(expect.objectContaining({ kind: 'mount', path: target }))
    await layer.unmount(target)
    expect(await store.cleanup()).toEqual([])
  }))

test('a commit of a mounted layer keeps the state at the time of the commit', () =>
  withStore({}, async store => {
    const layer = await store.prepare('a', '')
    const target = scratch.path('busy')
    mkdirSync(target)
    await layer.mount(target)
    writeFileSync(path.join(target, 'file'), 'before')
    await store.commit('layer', 'a')
    writeFileSync(path.join(target, 'file'), 'after')
    expect(await read(store, 'layer', 'file')).toBe('before')
    await store.view('view', 'layer')
    expect(await read(store, 'view', 'file')).toBe('before')
    expect(readFileSync(path.join(target, 'file'), 'utf8')).toBe('after')
    await unmount(target)
    expect(await store.cleanup()).toEqual([])
  }))

test('writers on a full pool get ENOSPC; the store recovers when space is freed', () =>
  withStore({ dataBytes: 48 * MiB }, async store => {
    scratch.log.allow(/low water mark/, /EXT4-fs (warning|error)/, /Buffer I\/O error/)
    await store.prepare('a', '')
    await store.commit('layer', 'a')
    await store.prepare('greedy', 'layer')
    const told: { status?: number | null; stderr?: string } = {}
    const fill = store.withMounted('greedy', async folder => {
      const words = ['if=/dev/urandom', `of=${path.join(folder, 'fill')}`, 'bs=1M', 'count=60', 'conv=fsync']
      Object.assign(told, tryRun('dd', words))
    })
    await expect(fill).rejects.toMatchObject({ code: expect.stringMatching(/^DM_LAYER_(SPACE|DAMAGED)$/) as string })
    expect(told.status).not.toBe(0)
    expect(told.stderr).toMatch(/No space left|Input\/output error/)
    await store.remove('greedy')
    expect(await store.cleanup()).toEqual([])
    await store.prepare('modest', 'layer')
    await write(store, 'modest', 'file', 'there is space')
    expect(await read(store, 'modest', 'file')).toBe('there is space')
  }))

test('layers and their contents are kept when the pool is removed and opened again', async () => {
  const files = storeFiles()
  const first = await LayerStore.open(files.options)
  await first.prepare('a', '')
  await write(first, 'a', 'file', 'layer')
  await first.commit('layer', 'a')
  await first.prepare('top', 'layer')
  await write(first, 'top', 'file', 'top')
  await first.view('view', 'layer')
  const taken = await first.takeDown()
  expect(taken.pool).toBe(files.poolName)
  expect(dmInfo(files.poolName)).toBeUndefined()
  await expectCode(first.stat('layer'), 'DM_CLOSED')

  const second = await LayerStore.open({ directory: files.directory }) // the pool is known by now
  expect(second.findings).toEqual([])
  expect(await keysOf(second)).toEqual(['layer', 'top', 'view'])
  expect((await second.usage('top')).bytes).toBeGreaterThan(0)
  expect(await read(second, 'top', 'file')).toBe('top')
  expect(await read(second, 'view', 'file')).toBe('layer')
  await second.commit('committed', 'top')
  expect(await read(second, 'committed', 'file')).toBe('top')
  await second.close()
  await endStore(files)
})

test('a hundred layers can be prepared and removed concurrently', () =>
  withStore({}, async (store, { poolName }) => {
    await store.prepare('a', '')
    await store.commit('layer', 'a')
    const keys = Array.from({ length: 100 }, (_, index) => `c${index}`)
    const layers = await Promise.all(keys.map(key => store.prepare(key, 'layer')))
    expect(new Set(layers.map(layer => layer.mounts[0]!.source)).size).toBe(100)
    expect(thinIdsBy(poolName)).toHaveLength(102)
    await Promise.all(keys.map(key => store.remove(key)))
    expect(await store.cleanup()).toEqual([])
    expect(thinIdsBy(poolName)).toHaveLength(2)
    expect(await keysOf(store)).toEqual(['layer'])
  }))

test('an aborted call leaves neither a layer nor a volume', () =>
  withStore({}, async (store, { poolName }) => {
    await store.prepare('a', '')
    await store.commit('layer', 'a')
    const before = thinIdsBy(poolName)
    await expectCode(store.prepare('x', 'layer', { signal: AbortSignal.abort() }), 'ABORT_ERR')
    const controller = new AbortController()
    const calls = Array.from({ length: 20 }, (_, index) =>
      store.prepare(`y${index}`, 'layer', { signal: controller.signal }).then(
        () => 'made',
        (fault: { code: string }) => fault.code,
      ),
    )
    setImmediate(() => setImmediate(() => controller.abort()))
    const outcomes = await Promise.all(calls)
    for (const [index, outcome] of outcomes.entries()) if (outcome === 'made') await store.remove(`y${index}`)
    expect(outcomes.filter(outcome => outcome !== 'made' && outcome !== 'ABORT_ERR')).toEqual([])
    await store.cleanup()
    expect(thinIdsBy(poolName)).toEqual(before)
  }))

test('prepare() whose device cannot be created leaves neither record nor volume', () =>
  withStore({}, async (store, { poolName }) => {
    await store.prepare('a', '')
    await store.commit('layer', 'a')
    const before = thinIdsBy(poolName)
    // The next two ids' names are another program's.
    const taken = [1, 2].map(step => `${poolName}-${Math.max(...before) + step}`)
    for (const name of taken) dmCreate(name, '0 8 zero')
    await expectCode(store.prepare('x', 'layer'), 'DM_NAME_TAKEN')
    await expectCode(store.prepare('x', 'layer', { sizeBytes: 128 * MiB }), 'DM_NAME_TAKEN')
    expect(await keysOf(store)).toEqual(['layer'])
    expect(thinIdsBy(poolName)).toEqual(before)
    for (const name of taken) dmRemove(name)
    await store.prepare('x', 'layer')
    expect(await store.verify()).toEqual([])
  }))

test('two stores on one directory see each other’s layers and do not recover each other’s work', () =>
  withStore({}, async (store, { options }) => {
    // Who raises the transaction id at the same moment as another is told so, and tries again.
    scratch.log.allow(/mismatched transaction id/, /Failed to change transaction id/)
    const other = await LayerStore.open(options)
    expect(other.findings).toEqual([])
    const made = await Promise.all([
      store.prepare('a', ''),
      other.prepare('b', ''), // both need the empty file system, and one makes it
      store.prepare('c', ''),
    ])
    expect(made).toHaveLength(3)
    expect(await keysOf(store)).toEqual(['a', 'b', 'c'])
    const race = await Promise.allSettled([store.prepare('same', ''), other.prepare('same', '')])
    expect(race.map(each => each.status).sort()).toEqual(['fulfilled', 'rejected'])
    await other.commit('layer', 'a')
    expect(await read(store, 'layer', '.').catch((fault: { code: string }) => fault.code)).toBe('EISDIR')
    await other.close()
    expect((await store.stat('layer')).kind).toBe('committed')
  }))
