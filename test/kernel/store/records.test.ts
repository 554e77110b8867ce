// The disk of a store's records: a slow one, and one that dies.
import { mkdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { LayerStore } from '../../../lib/entry/store.js'
import { LoopDevice, MiB, mount, unmount } from '../../../lib/entry/index.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { run } from '../../helpers/process/spawned.js'
import { endStore, keysOf, storeFiles, type StoreFiles } from '../../helpers/store/stores.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { dmCreate, dmInfo, dmRemove, dmResume } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()
const SIZE = 32 * MiB

interface RecordsDisk {
  readonly files: StoreFiles
  /** Puts something else in the disk's place: the line of a target over the loop device. */
  readonly swap: (target: (loop: string) => string) => void
  /** Makes the disk take no request, or take them again. */
  readonly hold: (isHeld: boolean) => void
}

/** A store whose records are on a file system of their own, and its pool elsewhere. */
async function withRecordsDisk(body: (disk: RecordsDisk) => Promise<void>): Promise<void> {
  const files = storeFiles()
  const directory = scratch.path(scratch.name('records'))
  mkdirSync(directory)
  const file = `${directory}.img`
  run('truncate', ['-s', String(SIZE), file])
  // Without a journal, which would refuse everything by itself after the first fault.
  run('mkfs.ext4', ['-q', '-O', '^has_journal', file])
  const loop = await LoopDevice.attach({ file })
  const name = scratch.name('disk')
  const whole = (path: string) => `linear ${path} 0`
  const line = (target: (path: string) => string) => `0 ${SIZE / 512} ${target(loop.path)}`
  dmCreate(name, line(whole))
  const source = `/dev/dm-${dmInfo(name)!.number.split(':')[1]}`
  const swap: RecordsDisk['swap'] = target => {
    run('dmsetup', ['suspend', '--noudevsync', '--noflush', '--nolockfs', name])
    run('dmsetup', ['load', name, '--table', line(target)])
    dmResume(name)
  }
  const hold = (isHeld: boolean) =>
    void (isHeld ? run('dmsetup', ['suspend', '--noudevsync', '--noflush', '--nolockfs', name]) : dmResume(name))
  await mount({ source, target: directory, type: 'ext4' })
  await body({ files: { ...files, directory, options: { ...files.options, directory } }, swap, hold })
  swap(whole)
  await unmount(directory)
  dmRemove(name)
  await loop.detach()
  await endStore(files)
}

test('JavaScript continues to run while a slow disk writes the records', () =>
  withRecordsDisk(async ({ files, swap, hold }) => {
    const store = await LayerStore.open(files.options)
    await store.prepare('a')
    await store.commit('layer', 'a')
    hold(true)
    let isWritten = false
    const writing = store.update('layer', { setLabels: { a: 'b' } }).then(() => (isWritten = true)) // one wait for the disk
    for (let turns = 0; turns < 20; turns++) await sleep(1)
    expect(isWritten).toBe(false)
    hold(false)
    await writing
    swap(loop => `delay ${loop} 0 0 ${loop} 0 100`)
    await Promise.all(['b', 'c', 'd'].map(key => store.prepare(key, 'layer')))
    swap(loop => `linear ${loop} 0`)
    expect(await keysOf(store)).toEqual(['b', 'c', 'd', 'layer'])
    await store.close()
  }))

test('no object that saw an I/O error of the records’ disk acknowledges later changes', () =>
  withRecordsDisk(async ({ files, swap }) => {
    scratch.log.allow(/I\/O error/, /EXT4-fs/)
    const open = () => LayerStore.open(files.options)
    const [store, other] = [await open(), await open()]
    await store.prepare('a')
    await store.commit('layer', 'a')
    await other.prepare('b', 'layer')
    swap(() => 'error')
    await expectCode(store.update('layer', { setLabels: { a: 'b' } }), 'DM_STORE_DATABASE')
    swap(loop => `linear ${loop} 0`)
    // The disk is well again; what it did not take may be lost, and with it all that would be written behind it.
    await expectCode(store.prepare('c', 'layer'), 'DM_STORE_DATABASE')
    await expectCode(store.remove('b'), 'DM_STORE_DATABASE')
    await expectCode(other.update('b', { setLabels: { a: 'b' } }), 'DM_STORE_DATABASE')
    await expectCode(other.remove('b'), 'DM_STORE_DATABASE')
    // One that is opened now writes all of it once more before anything else, also where the others are still open.
    const next = await open()
    expect(await keysOf(next)).toEqual(['b', 'layer'])
    await next.prepare('d', 'layer')
    for (const each of [store, other]) await each.close()
    expect(await next.cleanup()).toEqual([])
    expect(await next.verify()).toEqual([])
    await next.close()
  }))
