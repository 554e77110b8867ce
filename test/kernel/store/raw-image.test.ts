// Raw layers from images of disks, and images from layers, byte for byte by cmp.
import { createReadStream, existsSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { MiB } from '../../../lib/entry/index.js'
import { LayerStore } from '../../../lib/entry/store.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { withLoops } from '../../helpers/pool/pools.js'
import { run } from '../../helpers/process/spawned.js'
import { endStore, keysOf, storeFiles, thinIdsBy, withStore } from '../../helpers/store/stores.js'
import { useScratch } from '../../helpers/kernel/scratch.js'

const scratch = useScratch()

/** A disk of 40 MiB with an ext4 file system that contains a file, made by mkfs.ext4. */
function image(): string {
  const folder = scratch.path(scratch.name('content'))
  run('mkdir', [folder])
  writeFileSync(`${folder}/hello`, 'hello'.repeat(100_000))
  const file = scratch.path(`${scratch.name('image')}.img`)
  writeFileSync(file, '')
  truncateSync(file, 40 * MiB)
  run('mkfs.ext4', ['-q', '-d', folder, file])
  return file
}

const same = (one: string, other: string, bytes = 40 * MiB): string => run('cmp', ['-n', String(bytes), one, other])

/** Nothing is left of an import but the layers `keys`, on `volumes` volumes. */
async function expectOnly(
  store: LayerStore,
  poolName: string,
  keys: readonly string[],
  volumes: number,
): Promise<void> {
  expect(await keysOf(store)).toEqual(keys)
  expect(await store.cleanup()).toEqual([])
  expect(await store.verify()).toEqual([])
  expect(thinIdsBy(poolName)).toHaveLength(volumes)
}

test('importRaw makes a committed raw layer of a file, sparse, and exportRaw writes the same file', () =>
  withStore({}, async (store, { poolName }) => {
    const file = image()
    const done: number[] = []
    await store.importRaw('disk', file, {
      labels: { os: 'none' },
      onProgress: ({ doneBytes, totalBytes }) => {
        expect(totalBytes).toBe(40 * MiB)
        done.push(doneBytes)
      },
    })
    expect(done).toEqual(Array.from({ length: 40 }, (_, at) => (at + 1) * MiB))
    const info = await store.stat('disk')
    expect(info).toMatchObject({
      kind: 'committed',
      parent: '',
      raw: true,
      sizeBytes: 40 * MiB,
      labels: { os: 'none' },
    })
    expect((await store.usage('disk')).bytes).toBeLessThan(8 * MiB)
    const vm = await store.prepare('vm', 'disk')
    expect(vm.mounts).toEqual([])
    same(file, vm.device)
    expect(Number(run('blockdev', ['--getsize64', vm.device]))).toBe(40 * MiB)
    expect(run('dumpe2fs', ['-h', vm.device])).toContain('Filesystem state:         clean')

    const out = scratch.path('out.img')
    await store.exportRaw('disk', out)
    same(file, out)
    expect(statSync(out).size).toBe(40 * MiB)
    expect(statSync(out).blocks * 512).toBeLessThan(8 * MiB)
    await expect(store.exportRaw('disk', out)).rejects.toMatchObject({ code: 'EEXIST' })
    await expectCode(store.exportRaw('vm', scratch.path('none.img')), 'DM_LAYER_STATE')
    await store.view('look', 'disk')
    await store.exportRaw('look', scratch.path('look.img'))
    same(file, scratch.path('look.img'))
    // The disk and its two children; no file system was made for them.
    await expectOnly(store, poolName, ['disk', 'look', 'vm'], 3)
  }))

test('importRaw takes a block device, and a stream whose size is given', () =>
  withStore({}, async (store, { poolName }) => {
    const file = image()
    await withLoops([file], async ([device]) => store.importRaw('device', `/dev/loop${device!.slice(2)}`))
    same(file, (await store.prepare('a', 'device')).device)
    await store.importRaw('stream', createReadStream(file, { highWaterMark: 100_001 }), { sizeBytes: 64 * MiB })
    const { device } = await store.prepare('b', 'stream')
    same(file, device)
    expect(Number(run('blockdev', ['--getsize64', device]))).toBe(64 * MiB)
    expect(
      readFileSync(device)
        .subarray(40 * MiB)
        .every(byte => byte === 0),
    ).toBe(true)
    await expectOnly(store, poolName, ['a', 'b', 'device', 'stream'], 4)
  }))

test('importRaw rounds the size of a file up to whole MiB, and the rest reads zeros', () =>
  withStore({}, async store => {
    const file = scratch.path('odd.img')
    writeFileSync(file, Buffer.alloc(MiB + 1000, 'x'))
    await store.importRaw('odd', file)
    const { device } = await store.prepare('a', 'odd')
    const bytes = readFileSync(device)
    expect(bytes).toHaveLength(2 * MiB)
    expect(bytes.subarray(0, MiB + 1000).equals(readFileSync(file))).toBe(true)
    expect(bytes.subarray(MiB + 1000).every(byte => byte === 0)).toBe(true)
  }))

test('a raw image in a pool that does not zero blocks has zeros where the image has', async () => {
  const files = storeFiles()
  const pool = { ...files.options.pool, skipBlockZeroing: true, dataBlockBytes: 192 * 1024 }
  const store = await LayerStore.open({ ...files.options, pool, discard: false })
  // What was deleted is in the blocks that the image gets.
  const old = scratch.path('old.img')
  writeFileSync(old, Buffer.alloc(20 * MiB, 'o'))
  await store.importRaw('old', old)
  await store.remove('old')
  await store.cleanup()
  const file = scratch.path('new.img')
  writeFileSync(file, Buffer.alloc(20 * MiB))
  run('dd', ['if=/dev/urandom', `of=${file}`, 'bs=4k', 'count=1', 'seek=1000', 'conv=notrunc', 'status=none'])
  await store.importRaw('new', file)
  same(file, (await store.prepare('a', 'new')).device, 20 * MiB)
  await store.close()
  await endStore(files)
})

describe('importRaw', () => {
  const size = { sizeBytes: 40 * MiB }

  test('leaves nothing and rejects with DM_LAYER_LIMIT if the image is larger than sizeBytes', () =>
    withStore({}, async (store, { poolName }) => {
      await expectCode(store.importRaw('disk', image(), { sizeBytes: 39 * MiB }), 'DM_LAYER_LIMIT')
      await expectOnly(store, poolName, [], 0)
    }))

  test('leaves nothing and rejects with the error of a stream that fails in the middle', () =>
    withStore({}, async (store, { poolName }) => {
      const fault = new Error('not mine')
      async function* failing() {
        yield Buffer.alloc(3 * MiB, 'x')
        throw fault
      }
      await expect(store.importRaw('disk', failing(), size)).rejects.toBe(fault)
      await expectOnly(store, poolName, [], 0)
    }))

  test('leaves nothing and rejects with ABORT_ERR if it is aborted in the middle', () =>
    withStore({}, async (store, { poolName }) => {
      const controller = new AbortController()
      const onProgress = ({ doneBytes }: { doneBytes: number }) => {
        if (doneBytes === 5 * MiB) controller.abort()
      }
      await expectCode(store.importRaw('disk', image(), { signal: controller.signal, onProgress }), 'ABORT_ERR')
      await expectOnly(store, poolName, [], 0)
    }))

  test('leaves nothing and rejects with DM_LAYER_SPACE if the pool is full before the end', () =>
    withStore({ dataBytes: 32 * MiB }, async (store, { poolName }) => {
      scratch.log.allow(/reached low water mark|out-of-data-space|no free data space|switching pool/)
      const file = scratch.path('full.img')
      writeFileSync(file, Buffer.alloc(40 * MiB, 'f'))
      await expectCode(store.importRaw('disk', file), 'DM_LAYER_SPACE')
      await expectOnly(store, poolName, [], 0)
      await store.importRaw('small', image())
    }))

  test('rejects with DM_LAYER_EXISTS, DM_FILE_MISSING or DM_INVALID_ARGUMENT before it creates a volume', () =>
    withStore({}, async (store, { poolName }) => {
      await store.importRaw('disk', image())
      await expectCode(store.importRaw('disk', image()), 'DM_LAYER_EXISTS')
      await expectCode(store.importRaw('none', scratch.path('none')), 'DM_FILE_MISSING')
      await expectCode(store.importRaw('none', '/dev/null'), 'DM_INVALID_ARGUMENT')
      await expectCode(store.importRaw('none', createReadStream('/dev/null')), 'DM_INVALID_ARGUMENT')
      await expectCode(store.importRaw('none', image(), { sizeBytes: 1000 }), 'DM_INVALID_ARGUMENT')
      await expectOnly(store, poolName, ['disk'], 1)
    }))
})

test('an aborted exportRaw removes its file', () =>
  withStore({}, async store => {
    await store.importRaw('disk', image())
    const controller = new AbortController()
    const out = scratch.path('aborted.img')
    const onProgress = ({ doneBytes }: { doneBytes: number }) => {
      if (doneBytes === 5 * MiB) controller.abort()
    }
    await expectCode(store.exportRaw('disk', out, { signal: controller.signal, onProgress }), 'ABORT_ERR')
    expect(existsSync(out)).toBe(false)
    await store.cleanup()
    expect(await store.verify()).toEqual([])
  }))
