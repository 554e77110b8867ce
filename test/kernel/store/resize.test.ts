// The growth of layers in use, as the kernel and the file system's own tools see it.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { MiB } from '../../../lib/entry/index.js'
import type { LayerStore } from '../../../lib/entry/store.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { run } from '../../helpers/process/spawned.js'
import { withStore } from '../../helpers/store/stores.js'
import { useScratch } from '../../helpers/kernel/scratch.js'

const scratch = useScratch()

const deviceBytes = (device: string): number => Number(run('blockdev', ['--getsize64', device]))
const fileSystemBytes = (folder: string): number => {
  const [blocks, size] = run('stat', ['-f', '-c', '%b %S', folder]).trim().split(' ').map(Number)
  return blocks! * size!
}

async function sizeOf(store: LayerStore, key: string): Promise<number> {
  return store.withMounted(key, async folder => fileSystemBytes(folder))
}

describe.each(['ext4', 'xfs'] as const)('resize on %s', fileSystem => {
  test('grows a mounted layer while it is written, and the layer has its new size when its device is made again', () =>
    withStore({ fileSystem }, async (store, { poolName }) => {
      const layer = await store.prepare('a', '')
      const { sizeBytes: before } = await store.stat('a')
      const folder = scratch.path(scratch.name('mounted'))
      mkdirSync(folder)
      await layer.mount(folder)
      writeFileSync(path.join(folder, 'before'), 'b'.repeat(100_000))
      const sizeBytes = 3 * before
      await store.resize('a', { sizeBytes })
      writeFileSync(path.join(folder, 'after'), 'a'.repeat(100_000))
      expect(deviceBytes(layer.device)).toBe(sizeBytes)
      expect(fileSystemBytes(folder)).toBeGreaterThan(2.5 * before)
      expect(readFileSync(path.join(folder, 'before'), 'utf8')).toBe('b'.repeat(100_000))
      expect((await store.stat('a')).sizeBytes).toBe(sizeBytes)
      await layer.unmount(folder)

      run('dmsetup', ['remove', `${poolName}-1`])
      expect(deviceBytes((await store.layer('a')).device)).toBe(sizeBytes)
      expect(await sizeOf(store, 'a')).toBeGreaterThan(2.5 * before)
      await store.commit('layer', 'a')
      await store.prepare('child', 'layer')
      expect(deviceBytes((await store.layer('child')).device)).toBe(sizeBytes)
    }))

  test('grows a layer that is not mounted, and continues a call that ended after its first step', () =>
    withStore({ fileSystem }, async (store, { poolName }) => {
      await store.prepare('a', '')
      const { sizeBytes: before } = await store.stat('a')
      await store.resize('a', { sizeBytes: 2 * before })
      expect(await sizeOf(store, 'a')).toBeGreaterThan(1.7 * before)
      const name = `${poolName}-1`
      const { device } = await store.layer('a')
      // The device alone, as if the process had died before the file system grew.
      const half = deviceBytes(device) / 512
      const [, , ...rest] = run('dmsetup', ['table', name]).trim().split(' ')
      run('dmsetup', ['load', name, '--table', `0 ${half * 2} ${rest.join(' ')}`])
      run('dmsetup', ['resume', name])
      await store.resize('a', { sizeBytes: 4 * before })
      expect(await sizeOf(store, 'a')).toBeGreaterThan(3.5 * before)
    }))
})

test('resize grows the device of a raw layer alone', () =>
  withStore({}, async store => {
    const { device } = await store.prepare('vm', '', { raw: true })
    writeFileSync(device, Buffer.alloc(MiB, 'r'))
    await store.resize('vm', { sizeBytes: 200 * MiB })
    expect(deviceBytes(device)).toBe(200 * MiB)
    expect(readFileSync(device).subarray(0, MiB).equals(Buffer.alloc(MiB, 'r'))).toBe(true)
  }))

test('resize rejects a smaller size, a size that is not whole MiB, and layers that are not active', () =>
  withStore({}, async store => {
    await store.prepare('a', '')
    const { sizeBytes } = await store.stat('a')
    await expectCode(store.resize('a', { sizeBytes: sizeBytes - MiB }), 'DM_INVALID_ARGUMENT')
    await expectCode(store.resize('a', { sizeBytes: sizeBytes + 1 }), 'DM_INVALID_ARGUMENT')
    await expectCode(store.resize('none', { sizeBytes }), 'DM_LAYER_NOT_FOUND')
    await store.commit('base', 'a')
    await store.view('view', 'base')
    for (const key of ['base', 'view']) await expectCode(store.resize(key, { sizeBytes }), 'DM_LAYER_STATE')
  }))
