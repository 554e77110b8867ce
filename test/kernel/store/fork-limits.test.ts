// Forks and checkpoints at the limits of their pool: it becomes full in the middle, its snapshots or its thin ids run out.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { closeSync, constants, openSync, writeSync } from 'node:fs'
import path from 'node:path'
import Sqlite from 'better-sqlite3'
import { BlockDevice, MiB } from '../../../lib/entry/index.js'
import { LayerStore, type StoreStep } from '../../../lib/entry/store.js'
import { LAST_CHOSEN_THIN_ID } from '../../../lib/base/units.js'
import { SNAPSHOT_LIMIT } from '../../../lib/pool/state/snapshot-clock.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { dmStatus } from '../../helpers/kernel/dmsetup.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { setSnapshots } from '../../helpers/store/snapshot-clock.js'
import { keysOf, thinIdsBy, withStore } from '../../helpers/store/stores.js'

const scratch = useScratch()
const RAW = { raw: true, sizeBytes: 16 * MiB }
const OTHER = 128 * MiB
const CHILDREN = ['a', 'b', 'c']

/** Writes to a device until the pool takes no more. Returns the code of the last write. */
function fill(device: string): string {
  const file = openSync(device, constants.O_RDWR | constants.O_SYNC)
  try {
    for (let at = 0; at < OTHER; at += MiB) writeSync(file, Buffer.alloc(MiB, 'f'), 0, MiB, at)
    return 'none'
  } catch (fault) {
    return (fault as NodeJS.ErrnoException).code ?? String(fault)
  } finally {
    closeSync(file)
  }
}

const textOf = async (path: string) => {
  await using device = await BlockDevice.open(path)
  return (await device.read(0, 4096)).toString('latin1', 0, 2)
}

test.each([
  ['fork.copy', 1],
  ['fork.intent', 1],
  ['fork.snapshots', 1],
  ['fork.snapshots', 2],
  ['fork.point', 1],
  ['fork.record', 1],
])('a fork whose pool becomes full at the step %s, number %i, is complete, and layers can be removed', (wanted, nth) =>
  withStore({ dataBytes: 64 * MiB, reservePercent: 0, discard: true }, async (store, { poolName }) => {
    scratch.log.allow(/no free data space|out-of-data-space|reached low water mark|error_if_no_space|I\/O error/)
    const live = await store.prepare('live', '', RAW)
    const other = await store.prepare('other', '', { raw: true, sizeBytes: OTHER })
    await using device = await BlockDevice.open(live.device)
    await device.write(0, Buffer.alloc(4096, 'vm'))
    let left = nth
    const ends: string[] = []
    const listen = (message: unknown) => {
      if ((message as StoreStep).step === wanted && --left === 0) ends.push(fill(other.device))
    }
    subscribe('dm-thin:store', listen)
    const keys = Array.from({ length: 150 }, (_, at) => `child-${String(at).padStart(3, '0')}`)
    const { layers, name } = await store.fork('live', keys).finally(() => unsubscribe('dm-thin:store', listen))
    expect(ends).toEqual([expect.stringMatching(/^(EIO|ENOSPC)$/)])
    expect(dmStatus(poolName)).toContain(' out_of_data_space ')
    expect(layers).toHaveLength(150)
    expect(new Set(await Promise.all(layers.map(layer => textOf(layer.device))))).toEqual(new Set(['vm']))
    await expectCode(store.fork('live', ['late']), 'DM_POOL_FULL')
    await expectCode(store.checkpoint('late', 'live'), 'DM_POOL_FULL')
    expect(await keysOf(store)).toEqual([...keys, name, 'live', 'other'].sort())
    for (const key of [...keys, name, 'other']) await store.remove(key)
    expect(await store.cleanup()).toEqual([])
    expect(await store.verify()).toEqual([])
    expect((await store.status()).pool.mode).toBe('rw')
    expect((await store.fork('live', ['late'])).layers).toHaveLength(1)
  }),
)

test.each([
  [3, 'rejects with DM_POOL_WORN and leaves nothing'],
  [4, 'resolves'],
])('a fork of three layers in a pool that can make %i more snapshots %s', left =>
  withStore({}, async (first, { options, metadataFile, poolName }) => {
    await first.prepare('live', '', RAW)
    await first.takeDown()
    await setSnapshots(metadataFile, SNAPSHOT_LIMIT - left)
    const store = await LayerStore.open(options)
    if (left < 4) await expectCode(store.fork('live', CHILDREN, { name: 'point' }), 'DM_POOL_WORN')
    else await store.fork('live', CHILDREN, { name: 'point' })
    const keys = left < 4 ? ['live'] : [...CHILDREN, 'live', 'point']
    expect(await keysOf(store)).toEqual(keys)
    expect(await store.cleanup()).toEqual([])
    expect(await store.verify()).toEqual([])
    expect(thinIdsBy(poolName)).toHaveLength(keys.length + 1) // and the empty volume
    await store.close()
  }),
)

test('a checkpoint in a pool that can make no more snapshots rejects with DM_POOL_WORN and leaves nothing', () =>
  withStore({}, async (first, { options, metadataFile }) => {
    await first.prepare('live', '', RAW)
    await first.takeDown()
    await setSnapshots(metadataFile, SNAPSHOT_LIMIT)
    const store = await LayerStore.open(options)
    await expectCode(store.checkpoint('point', 'live'), 'DM_POOL_WORN')
    expect(await keysOf(store)).toEqual(['live'])
    expect(await store.verify()).toEqual([])
    await store.close()
  }))

test('a fork at the last thin id continues with the first ids that are free', () =>
  withStore({}, async (first, { directory, options, poolName }) => {
    await first.prepare('live', '', RAW)
    await first.close()
    const database = new Sqlite(path.join(directory, 'layers.db'))
    database
      .prepare(
        `INSERT INTO store (name, value) VALUES ('next', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
      )
      .run(String(LAST_CHOSEN_THIN_ID - 1))
    database.close()
    const store = await LayerStore.open(options)
    await store.fork('live', CHILDREN, { name: 'point' })
    expect(await keysOf(store)).toEqual([...CHILDREN, 'live', 'point'])
    expect(thinIdsBy(poolName)).toEqual([0, 1, 2, 3, LAST_CHOSEN_THIN_ID - 1, LAST_CHOSEN_THIN_ID])
    expect(await store.verify()).toEqual([])
    await store.close()
  }))
