// Resets of layers whose device stays open.
//
// Scenario                                              Test
// the same device, other content                        a reset layer keeps …; reads and writes through …
// a mounted file system                                 returns the files of the parent …
// another layer                                         a reset to another layer …
// writes during the reset                               a write that …
// an inactive layer                                     a layer whose device does not exist …
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, readSync, writeFileSync, writeSync } from 'node:fs'
import path from 'node:path'
import { BlockDevice, KiB, MiB } from '../../../lib/entry/index.js'
import type { LayerStore } from '../../../lib/entry/store.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { run } from '../../helpers/process/spawned.js'
import { keysOf, thinIdsBy, withStore } from '../../helpers/store/stores.js'
import { useScratch } from '../../helpers/kernel/scratch.js'

const scratch = useScratch()

const BLOCK = 64 * KiB

/** The name of a mapped device of the path `/dev/dm-N`. */
const nameOf = (device: string): string => readFileSync(`/sys/block/${path.basename(device)}/dm/name`, 'utf8').trim()

/** The device of a layer as the device mapper describes it. */
const mapped = (device: string): string =>
  run('dmsetup', [
    'info',
    '-c',
    '--noheadings',
    '-o',
    'name,uuid,major,minor,suspended,tables_loaded',
    nameOf(device),
  ]) + run('dmsetup', ['table', nameOf(device)])

/** A committed raw layer of 8 MiB whose blocks begin with their number. */
async function rawParent(store: LayerStore, name: string, first: string): Promise<void> {
  const image = Buffer.alloc(8 * MiB)
  for (let at = 0; at < image.length; at += BLOCK) image.write(`${first}${at / BLOCK}`, at)
  await store.importRaw(
    name,
    (async function* () {
      yield image
    })(),
    { sizeBytes: 8 * MiB },
  )
}

const wordAt = async (device: BlockDevice, block: number): Promise<string> =>
  (await device.read(block * BLOCK, 4096)).toString('latin1').replace(/\0.*/s, '')

const nothingLeft = async (store: LayerStore, poolName: string, volumes: number) => {
  expect(await store.cleanup()).toEqual([])
  expect(await store.verify()).toEqual([])
  expect(thinIdsBy(poolName)).toHaveLength(volumes)
}

test('a reset layer keeps its device, and an open descriptor reads the content of the parent', () =>
  withStore({}, async (store, { poolName }) => {
    await rawParent(store, 'disk', 'parent')
    const { device } = await store.prepare('vm', 'disk')
    await using held = await BlockDevice.open(device)
    const before = mapped(device)
    for (let block = 0; block < 100; block++) await held.write(block * BLOCK, Buffer.alloc(BLOCK, 'x'))
    await store.reset('vm')
    expect(mapped(device)).toBe(before)
    for (const block of [0, 1, 99, 127]) expect(await wordAt(held, block)).toBe(`parent${block}`)
    await held.write(0, Buffer.alloc(4096, 'y'))
    await held.flush()
    expect((await held.read(0, 4096)).toString()).toBe('y'.repeat(4096))
    expect(await wordAt(held, 1)).toBe('parent1')
    expect((await store.layer('vm')).device).toBe(device)
    expect(await store.stat('vm')).toMatchObject({ kind: 'active', parent: 'disk', sizeBytes: 8 * MiB })
    await nothingLeft(store, poolName, 2)
  }))

test('reads and writes through the page cache after a reset have nothing of the former content', () =>
  withStore({}, async store => {
    await rawParent(store, 'disk', 'parent')
    const { device } = await store.prepare('vm', 'disk')
    const held = openSync(device, 'r+')
    try {
      writeSync(held, Buffer.alloc(8 * MiB, 'x'), 0, 8 * MiB, 0) // it stays in the cache, unwritten
      await store.reset('vm')
      const bytes = Buffer.alloc(BLOCK)
      readSync(held, bytes, 0, BLOCK, BLOCK)
      expect(bytes.toString('latin1', 0, 8)).toBe('parent1\0')
      expect(bytes.includes('x')).toBe(false)
    } finally {
      closeSync(held)
    }
    await using direct = await BlockDevice.open(device)
    for (const block of [0, 1, 127]) expect(await wordAt(direct, block)).toBe(`parent${block}`)
  }))

describe.each(['ext4', 'xfs'] as const)('the reset of a layer with %s', fileSystem => {
  const read = (store: LayerStore, key: string, name: string) =>
    store.withMounted(key, async folder => readFileSync(path.join(folder, name), 'utf8'))
  const write = (store: LayerStore, key: string, name: string, text: string) =>
    store.withMounted(key, async folder => writeFileSync(path.join(folder, name), text))

  test('returns the files of the parent, and rejects with DM_BUSY while the layer is mounted', () =>
    withStore({ fileSystem }, async (store, { poolName }) => {
      await store.prepare('a', '')
      await write(store, 'a', 'file', 'parent')
      await store.commit('base', 'a')
      await store.prepare('live', 'base')
      await write(store, 'live', 'file', 'changed')
      const layer = await store.layer('live')
      const folder = scratch.path(scratch.name('mounted'))
      mkdirSync(folder)
      await layer.mount(folder)
      const fault = await expectCode(store.reset('live'), 'DM_BUSY')
      expect(fault.holders?.map(({ kind }) => kind)).toContain('mount')
      writeFileSync(path.join(folder, 'other'), 'written after it')
      await layer.unmount(folder)
      expect(await read(store, 'live', 'file')).toBe('changed')
      expect(await read(store, 'live', 'other')).toBe('written after it')
      await nothingLeft(store, poolName, 3)
      await store.reset('live')
      expect(await read(store, 'live', 'file')).toBe('parent')
      await expect(read(store, 'live', 'other')).rejects.toMatchObject({ code: 'ENOENT' })
      await write(store, 'live', 'file', 'again')
      expect(await read(store, 'live', 'file')).toBe('again')
      expect(await read(store, 'base', 'file')).toBe('parent')
      await store.reset('live')
      expect(await read(store, 'live', 'file')).toBe('parent')
      await nothingLeft(store, poolName, 3)
    }))
})

test('a reset to another layer gives the layer that content and that parent', () =>
  withStore({}, async (store, { poolName }) => {
    await rawParent(store, 'one', 'first')
    await rawParent(store, 'two', 'second')
    const { device } = await store.prepare('vm', 'one')
    await using held = await BlockDevice.open(device)
    await held.write(0, Buffer.alloc(BLOCK, 'x'))
    await store.reset('vm', { to: 'two' })
    expect(await wordAt(held, 0)).toBe('second0')
    expect(await store.stat('vm')).toMatchObject({ parent: 'two' })
    expect(await store.usage('vm')).toEqual({ bytes: 0, inodes: 0 })
    await expectCode(store.remove('two'), 'DM_LAYER_HAS_CHILDREN')
    await store.remove('one')
    await store.reset('vm')
    expect(await wordAt(held, 127)).toBe('second127')
    await nothingLeft(store, poolName, 2)
  }))

test('a layer that was made without a parent is reset to the empty file system', () =>
  withStore({}, async store => {
    await store.prepare('live', '')
    await store.withMounted('live', async folder => writeFileSync(path.join(folder, 'file'), 'x'))
    await store.reset('live')
    expect(await store.withMounted('live', async folder => readdirSync(folder))).toEqual([])
    expect(await store.stat('live')).toMatchObject({ parent: '' })
  }))

test('a layer that is larger than its parent keeps its size', () =>
  withStore({}, async store => {
    await rawParent(store, 'disk', 'parent')
    const { device } = await store.prepare('vm', 'disk', { sizeBytes: 16 * MiB })
    await using held = await BlockDevice.open(device)
    await held.write(12 * MiB, Buffer.alloc(BLOCK, 'x'))
    await store.reset('vm')
    expect(await held.size()).toBe(16 * MiB)
    expect(await wordAt(held, (12 * MiB) / BLOCK)).toBe('')
    expect(await wordAt(held, 127)).toBe('parent127')
    expect(await store.stat('vm')).toMatchObject({ sizeBytes: 16 * MiB })
  }))

test('a write that was acknowledged before a reset is gone, and one that began after it is kept', () =>
  withStore({}, async (store, { poolName }) => {
    await rawParent(store, 'disk', 'parent')
    const { device } = await store.prepare('vm', 'disk')
    await using held = await BlockDevice.open(device)
    for (let round = 0; round < 5; round++) {
      await held.write(127 * BLOCK, Buffer.alloc(BLOCK, 'x'))
      const written = new Map<number, number>()
      let count = 0
      let isEnded = false
      const writer = (async () => {
        for (; !isEnded; count++) {
          const block = (count * 37) % 127 // all but the last
          const page = Buffer.alloc(BLOCK)
          page.write(`w${count + 1}`)
          await held.write(block * BLOCK, page)
          written.set(block, count + 1)
        }
      })()
      while (count < 150) await new Promise(setImmediate)
      const before = count
      await store.reset('vm')
      const after = count
      while (count < after + 20) await new Promise(setImmediate)
      isEnded = true
      await writer
      const found = await Promise.all(Array.from({ length: 128 }, (_, block) => wordAt(held, block)))
      for (const [block, word] of found.entries()) {
        const number = word.startsWith('w') ? Number(word.slice(1)) : undefined
        if (number === undefined) expect(word).toBe(`parent${block}`)
        else expect(number).toBeGreaterThanOrEqual(before)
        // `after + 1` may have begun before the end of the reset, but it ended after it.
        const last = written.get(block) ?? 0
        if (last > after) expect(number).toBe(last)
      }
      expect(found[127]).toBe('parent127')
    }
    await nothingLeft(store, poolName, 2)
  }))

test('a layer that has filled the pool is reset, and the pool has its space again', () =>
  withStore({ dataBytes: 88 * MiB }, async (store, { poolName }) => {
    scratch.log.allow(/low water|no space|out-of-data-space/)
    await rawParent(store, 'disk', 'parent')
    const { device } = await store.prepare('vm', 'disk', { sizeBytes: 128 * MiB })
    await using held = await BlockDevice.open(device)
    await expectCode(held.write(0, Buffer.alloc(128 * MiB, 'x')), 'DM_KERNEL')
    expect((await store.status()).pool.mode).toBe('out_of_data_space')
    await store.reset('vm')
    expect(await wordAt(held, 127)).toBe('parent127')
    await nothingLeft(store, poolName, 2)
    expect((await store.status()).pool.mode).toBe('rw')
    await held.write(0, Buffer.alloc(64 * MiB, 'y'))
  }))

test('a layer whose device does not exist is reset and activated', () =>
  withStore({}, async (store, { poolName }) => {
    await rawParent(store, 'disk', 'parent')
    const { device } = await store.prepare('vm', 'disk')
    await using held = await BlockDevice.open(device)
    await held.write(0, Buffer.alloc(BLOCK, 'x'))
    await held.close()
    run('dmsetup', ['remove', nameOf(device)])
    await store.reset('vm')
    await using again = await BlockDevice.open((await store.layer('vm')).device)
    expect(await wordAt(again, 0)).toBe('parent0')
    await nothingLeft(store, poolName, 2)
  }))

test.each([
  ['reset.move', 'old', 'rejects with ABORT_ERR and keeps the former content'],
  ['reset.renumber', 'new', 'resolves'],
])('a reset that is aborted at %s has the %s content and %s', (step, text) =>
  withStore({}, async (store, { poolName }) => {
    await rawParent(store, 'disk', 'new')
    await using held = await BlockDevice.open((await store.prepare('vm', 'disk')).device)
    await held.write(0, Buffer.alloc(BLOCK, 'old'))
    const controller = new AbortController()
    const listen = (message: unknown) => {
      if ((message as { step: string }).step === step) controller.abort()
    }
    subscribe('dm-thin:store', listen)
    const reset = store.reset('vm', { signal: controller.signal })
    if (text === 'old') await expectCode(reset, 'ABORT_ERR')
    else await reset
    unsubscribe('dm-thin:store', listen)
    expect((await wordAt(held, 0)).slice(0, 3)).toBe(text)
    await nothingLeft(store, poolName, 2)
  }),
)

describe('a reset that cannot be made', () => {
  test('rejects, and leaves the layer as it was', () =>
    withStore({}, async (store, { poolName }) => {
      await rawParent(store, 'disk', 'parent')
      await store.prepare('vm', 'disk')
      await store.prepare('files', '')
      await store.view('view', 'disk')
      for (const options of [{ to: '' }, { to: 7 }, { from: 'disk' }, { signal: 1 }])
        await expectCode(store.reset('vm', options as object), 'DM_INVALID_ARGUMENT')
      await expectCode(store.reset(''), 'DM_INVALID_ARGUMENT')
      await expectCode(store.reset('none'), 'DM_LAYER_NOT_FOUND')
      await expectCode(store.reset('view'), 'DM_LAYER_STATE')
      await expectCode(store.reset('disk'), 'DM_LAYER_STATE')
      await expectCode(store.reset('vm', { to: 'none' }), 'DM_LAYER_NOT_FOUND')
      for (const to of ['vm', 'files']) await expectCode(store.reset('vm', { to }), 'DM_INVALID_ARGUMENT')
      await expectCode(store.reset('files', { to: 'disk' }), 'DM_INVALID_ARGUMENT') // raw
      await store.prepare('large', '', { raw: true })
      await store.commit('large disk', 'large')
      await expectCode(store.reset('vm', { to: 'large disk' }), 'DM_INVALID_ARGUMENT')
      await expectCode(store.reset('vm', { signal: AbortSignal.abort() }), 'ABORT_ERR')
      expect(await keysOf(store)).toEqual(['disk', 'files', 'large disk', 'view', 'vm'])
      expect(await store.stat('vm')).toMatchObject({ parent: 'disk' })
      await nothingLeft(store, poolName, 6)
    }))

  test('rejects with DM_BUSY while another call uses the layer, or the device is suspended', () =>
    withStore({}, async (store, { poolName }) => {
      await store.prepare('live', '')
      await store.withMounted('live', () => expectCode(store.reset('live'), 'DM_BUSY'))
      const { device } = await store.layer('live')
      run('dmsetup', ['suspend', nameOf(device)])
      await expectCode(store.reset('live'), 'DM_BUSY')
      run('dmsetup', ['resume', nameOf(device)])
      await store.reset('live')
      await nothingLeft(store, poolName, 2)
    }))
})
