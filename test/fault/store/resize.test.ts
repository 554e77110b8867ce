// The growth of a layer's file system, and a snapshot of the layer by another process: EXT4_IOC_RESIZE_FS ends its
// protection against a freeze before its last transaction, which would then start on a frozen file system.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { MiB, ThinPool } from '../../../lib/entry/index.js'
import { LayerStore } from '../../../lib/entry/store.js'
import { stopAt, useFaults } from '../../helpers/fault/fault.js'
import { dmSuspend } from '../../helpers/kernel/dmsetup.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { lockIsWaitedFor } from '../../helpers/pool/waited-for.js'
import { withStore } from '../../helpers/store/stores.js'

useScratch()
const hooks = useFaults()

test('checkpoint() of a layer waits until resize() by another store object has grown its file system', () =>
  withStore({}, async (store, { options }) => {
    const other = await LayerStore.open(options)
    const layer = await store.prepare('a', '')
    const grow = stopAt(hooks, ['EXT4_IOC_RESIZE_FS', 1])
    const resizing = store.resize('a', { sizeBytes: 128 * MiB })
    await grow.reached(resizing)
    const checkpoint = other.checkpoint('b', 'a')
    await lockIsWaitedFor(checkpoint)
    expect(readFileSync(`/sys/block/${path.basename(layer.device)}/dm/suspended`, 'utf8')).toBe('0\n')
    grow.release()
    await Promise.all([resizing, checkpoint])
    expect(await store.stat('b')).toMatchObject({ kind: 'committed', sizeBytes: 128 * MiB })
    await other.close()
  }))

test('open() of the pool resumes a suspended layer while resize() waits for its device', () =>
  withStore({}, async (store, { poolName }) => {
    const layer = await store.prepare('a', '')
    const grow = stopAt(hooks, ['EXT4_IOC_RESIZE_FS', 1])
    const resizing = store.resize('a', { sizeBytes: 128 * MiB })
    await grow.reached(resizing)
    const device = readFileSync(`/sys/block/${path.basename(layer.device)}/dm/name`, 'utf8').trim()
    dmSuspend(device)
    const { findings } = await ThinPool.open(poolName)
    expect(findings).toEqual([{ kind: 'suspended-volume', device, action: 'resumed' }])
    grow.release()
    await resizing
    expect(await store.stat('a')).toMatchObject({ sizeBytes: 128 * MiB })
  }))

test('resize() of a layer waits until resize() by another store object has grown its file system', () =>
  withStore({}, async (store, { options }) => {
    const other = await LayerStore.open(options)
    await store.prepare('a', '')
    const grow = stopAt(hooks, ['EXT4_IOC_RESIZE_FS', 1])
    const resizing = store.resize('a', { sizeBytes: 128 * MiB })
    await grow.reached(resizing)
    const again = other.resize('a', { sizeBytes: 160 * MiB })
    await lockIsWaitedFor(again)
    grow.release()
    await Promise.all([resizing, again])
    expect(await store.stat('a')).toMatchObject({ sizeBytes: 160 * MiB })
    await other.close()
  }))
