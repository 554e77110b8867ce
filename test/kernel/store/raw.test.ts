// Raw layers: what a virtual machine wrote is never mounted by the host. The bytes here are no file system, so that any
// mount would fail.
import { closeSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { run } from '../../helpers/process/spawned.js'
import { keysOf, thinIdsBy, withStore } from '../../helpers/store/stores.js'
import { useScratch } from '../../helpers/kernel/scratch.js'

const scratch = useScratch()

const LENGTH = 128 * 1024
const bytesOf = (letter: string) => Buffer.alloc(LENGTH, letter)

function write(device: string, letter: string): void {
  const file = openSync(device, 'r+')
  writeSync(file, bytesOf(letter), 0, LENGTH, 0)
  fsyncSync(file)
  closeSync(file)
}

function read(device: string): string {
  const file = openSync(device, 'r')
  const found = Buffer.alloc(LENGTH)
  readSync(file, found, 0, LENGTH, 0)
  closeSync(file)
  const letter = String.fromCharCode(found[0]!)
  return found.equals(bytesOf(letter)) ? letter : 'mixed'
}

test('a raw layer has a device and no mounts, and calls that would mount it are rejected', () =>
  withStore({}, async store => {
    const layer = await store.prepare('a', '', { raw: true })
    expect(layer.mounts).toEqual([])
    expect(await store.mounts('a')).toEqual([])
    expect((await store.stat('a')).raw).toBe(true)
    write(layer.device, 'a')
    await expectCode(layer.mount(scratch.path('none')), 'DM_LAYER_STATE')
    await expectCode(
      store.withMounted('a', async () => {}),
      'DM_LAYER_STATE',
    )
    const stream = async function* () {
      yield Buffer.alloc(1024)
    }
    await expectCode(store.applyLayer('a', stream()), 'DM_LAYER_STATE')
    await expectCode(store.changes('', 'a').next(), 'DM_LAYER_STATE')
    await expectCode(store.diffLayer('a').toArray(), 'DM_LAYER_STATE')
    expect(await keysOf(store)).toEqual(['a'])
    expect(read(layer.device)).toBe('a')
  }))

test('commit, view and growth of a raw layer keep its blocks, and a layer with a raw parent is raw', () =>
  withStore({}, async (store, { poolName }) => {
    write((await store.prepare('a', '', { raw: true })).device, 'a')
    await store.commit('layer', 'a')
    expect(read((await store.view('view', 'layer')).device)).toBe('a')
    const { sizeBytes } = await store.stat('layer')
    const large = await store.prepare('large', 'layer', { sizeBytes: 2 * sizeBytes })
    expect(read(large.device)).toBe('a')
    expect(Number(run('blockdev', ['--getsize64', large.device]))).toBe(2 * sizeBytes)
    expect((await store.stat('large')).raw).toBe(true)
    await expectCode(store.prepare('tame', 'layer', { raw: false }), 'DM_INVALID_ARGUMENT')
    await store.warm('layer', 1)
    expect((await store.prepare('warm', 'layer')).mounts).toEqual([])
    await store.warm('layer', 0)
    await store.cleanup()
    expect(thinIdsBy(poolName)).toHaveLength(5)
  }))

test('a raw layer whose device is open is committed with its current content', () =>
  withStore({}, async store => {
    const { device } = await store.prepare('a', '', { raw: true })
    write(device, 'a')
    const open = openSync(device, 'r+')
    await store.commit('layer', 'a')
    writeSync(open, bytesOf('b'), 0, LENGTH, 0)
    fsyncSync(open)
    expect(read((await store.view('view', 'layer')).device)).toBe('a')
    closeSync(open)
    expect(await store.cleanup()).toEqual([])
    expect(await store.verify()).toEqual([])
  }))
