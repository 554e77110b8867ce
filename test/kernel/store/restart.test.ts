// A store after a restart of the machine: its process was killed, and neither its pool nor a device of it is there. One call
// of LayerStore.open starts the pool, and each layer has its device again as soon as it is asked for.
// @udev both
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { BlockDevice, MiB } from '../../../lib/entry/index.js'
import { LayerStore } from '../../../lib/entry/store.js'
import { dmInfo } from '../../helpers/kernel/dmsetup.js'
import { markedDevices, markedLoops } from '../../helpers/kernel/kernel-state.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run, tryRun } from '../../helpers/process/spawned.js'
import { endStore, keysOf, storeFiles, type StoreFiles } from '../../helpers/store/stores.js'

const scratch = useScratch()

/** Makes layers of each kind in a process that kills itself. */
function workKilled({ options }: StoreFiles, image: string): void {
  const source = `
    const { LayerStore } = require(${JSON.stringify(path.join(__dirname, '../../../dist/entry/store.js'))})
    const { BlockDevice } = require(${JSON.stringify(path.join(__dirname, '../../../dist/entry/index.js'))})
    const { writeFileSync } = require('node:fs')
    const run = async () => {
      const store = await LayerStore.open(${JSON.stringify(options)})
      await store.prepare('files', '')
      await store.withMounted('files', async folder => writeFileSync(folder + '/content', 'of the files'))
      await store.checkpoint('base', 'files')
      await store.view('view', 'base')
      await store.importRaw('disk', ${JSON.stringify(image)})
      const { device } = await store.prepare('vm', 'disk')
      const written = await BlockDevice.open(device)
      await written.write(${MiB}, Buffer.alloc(4096, 'vm'))
      await written.flush()
      await store.fork('vm', ['fork-1', 'fork-2'], { name: 'point' })
      process.kill(process.pid, 'SIGKILL')
    }
    run()`
  const { signal, stderr } = spawnSync(process.execPath, ['-e', source], { encoding: 'utf8' })
  expect([signal, stderr]).toEqual(['SIGKILL', ''])
}

/** Removes what a restart of the machine removes: the devices of the volumes, the pool and its loop devices. */
function restart({ poolName }: StoreFiles): void {
  const names = run('dmsetup', ['ls'])
    .split('\n')
    .map(line => line.split('\t')[0]!)
  for (const name of names.filter(each => each.startsWith(`${poolName}-`))) run('dmsetup', ['remove', '--retry', name])
  run('dmsetup', ['remove', '--retry', poolName])
  for (const { name } of markedLoops()) tryRun('losetup', ['--detach', name]) // it may have gone with the pool
  if (process.env.DM_THIN_UDEV === '1') run('udevadm', ['settle'])
  expect([markedDevices(), markedLoops()]).toEqual([[], []])
}

const textOf = async (device: string, at: number) => {
  await using read = await BlockDevice.open(device)
  return (await read.read(at, 4096)).toString('latin1', 0, 2)
}

test('one call of open() after a restart of the machine starts the pool, and each layer has its device and content again', async () => {
  const image = scratch.path('disk.img')
  writeFileSync(image, Buffer.alloc(2 * MiB, 'd'))
  const files = storeFiles()
  workKilled(files, image)
  restart(files)

  const store = await LayerStore.open({ directory: files.directory, check: 'full' })
  expect(store.findings).toEqual([])
  expect(await keysOf(store)).toEqual(['base', 'disk', 'files', 'fork-1', 'fork-2', 'point', 'view', 'vm'])
  for (const key of ['files', 'view']) {
    const [mounted] = await store.mounts(key)
    expect(mounted!.source).toMatch(/^\/dev\/dm-\d+$/)
    const content = async (folder: string) => readFileSync(path.join(folder, 'content'), 'utf8')
    expect(await store.withMounted(key, content)).toBe('of the files')
  }
  for (const key of ['vm', 'fork-1', 'fork-2']) {
    const { device, parent } = await store.layer(key)
    expect([await textOf(device, 0), await textOf(device, MiB)]).toEqual(['dd', 'vm'])
    expect(parent).toBe(key === 'vm' ? 'disk' : 'point')
  }
  expect(dmInfo(files.poolName)?.suspended).toBe(false)
  await store.reset('vm')
  expect(await textOf((await store.layer('vm')).device, MiB)).toBe('dd')
  expect(await store.verify()).toEqual([])
  await store.close()
  await endStore(files)
})
