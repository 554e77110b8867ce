// Keeping a store in order: warm sets, pruning, who has which blocks, and finding and repairing disagreements.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { readdirSync, renameSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import Sqlite from 'better-sqlite3'
import { LayerStore, type StoreFinding, type StoreStep } from '../../../lib/entry/store.js'
import { MiB } from '../../../lib/entry/index.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { run, tryRun } from '../../helpers/process/spawned.js'
import { killedWhileMounted, killedWork } from '../../helpers/store/store-child.js'
import { endStore, keysOf, storeFiles, thinIdsBy, withStore } from '../../helpers/store/stores.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { dmCreate, dmInfo, dmMessage, dmRemove, thinUsageBy } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()

const kinds = (findings: readonly StoreFinding[]) => findings.map(({ kind, action }) => [kind, action])

async function committed(store: LayerStore, name: string, parent = '', labels = {}): Promise<void> {
  await store.prepare(`${name}-active`, parent)
  await store.withMounted(`${name}-active`, async folder =>
    writeFileSync(path.join(folder, name), Buffer.alloc(1 * MiB, name.charCodeAt(0))),
  )
  await store.commit(name, `${name}-active`, { labels })
}

describe('a warm set', () => {
  test('exists before prepare(), and its layers have no key until then', () =>
    withStore({}, async (store, { poolName }) => {
      await committed(store, 'layer')
      await store.warm('layer', 3)
      const before = thinIdsBy(poolName)
      expect(before).toHaveLength(2 + 3)
      expect(await keysOf(store)).toEqual(['layer'])
      const { layers, warm, pool } = await store.status()
      expect({ layers, warm, mode: pool.mode }).toEqual({ layers: 1, warm: { layer: 3 }, mode: 'rw' })
      const layer = await store.prepare('a', 'layer', { labels: { who: 'a' } })
      expect(before.map(id => dmInfo(`${poolName}-${id}`)?.number.split(':')[1])).toContain(
        path.basename(layer.mounts[0]!.source).slice('dm-'.length),
      )
      expect((await store.stat('a')).labels).toEqual({ who: 'a' })
      await store.withMounted('a', async folder => expect(readdirSync(folder)).toEqual(['layer']))
      await expectCode(store.prepare('a', 'layer'), 'DM_LAYER_EXISTS')
      await store.warm('layer', 3) // full again
      expect(thinIdsBy(poolName)).toHaveLength(2 + 1 + 3)
      await store.warm('layer', 0)
      expect(await store.cleanup()).toEqual([])
      expect(thinIdsBy(poolName)).toHaveLength(2 + 1)
      await expectCode(store.warm('missing', 1), 'DM_LAYER_NOT_FOUND')
      await expectCode(store.warm('layer', 1001), 'DM_INVALID_ARGUMENT')
    }))

  test('is removed with its parent, and when its store is closed', async () => {
    const files = storeFiles()
    const store = await LayerStore.open(files.options)
    await committed(store, 'layer')
    await store.warm('layer', 2)
    await store.remove('layer')
    expect(await store.cleanup()).toEqual([])
    expect(thinIdsBy(files.poolName)).toHaveLength(1)
    await committed(store, 'other')
    await store.warm('other', 2)
    await store.close()
    const again = await LayerStore.open(files.options)
    expect(again.findings).toEqual([])
    expect(await again.cleanup()).toEqual([])
    expect(thinIdsBy(files.poolName)).toHaveLength(2)
    await again.close()
    await endStore(files)
  })
})

test('prune() removes unused layers, leaves before parents, the oldest first', () =>
  withStore({}, async store => {
    await committed(store, 'root')
    await committed(store, 'old', 'root')
    await committed(store, 'kept', 'root', { 'dm-thin/keep': '' })
    await committed(store, 'leased', 'root', { 'dm-thin/keep-until': new Date(Date.now() + 3_600_000).toISOString() })
    await committed(store, 'late', 'root', { 'dm-thin/keep-until': '2001-01-01T00:00:00Z' })
    await committed(store, 'under', 'old')
    await committed(store, 'used', 'root')
    await store.prepare('container', 'used')
    const keys = async (options: Parameters<LayerStore['prune']>[0]) =>
      (await store.prune(options)).map(({ key }) => key)
    expect(await keys({ dryRun: true })).toEqual(['late', 'under', 'old'])
    expect(await keys({ dryRun: true, keep: ['under'] })).toEqual(['late'])
    expect(await keys({ most: 1 })).toEqual(['late'])
    expect(await keys({})).toEqual(['under', 'old'])
    expect(await keysOf(store)).toEqual(['container', 'kept', 'leased', 'root', 'used'])
    await expectCode(store.prune({ keep: 'root' } as never), 'DM_INVALID_ARGUMENT')
  }))

test('concurrent calls of cleanup() delete each volume once', () =>
  withStore({}, async store => {
    const asked: Promise<unknown>[] = []
    const ask = (message: unknown) => {
      if ((message as StoreStep).step.startsWith('remove.')) asked.push(store.cleanup())
    }
    subscribe('dm-thin:store', ask)
    try {
      for (const key of ['a', 'b', 'c']) await store.prepare(key)
      for (const key of ['a', 'b', 'c']) await store.remove(key)
      expect(await store.cleanup()).toEqual([])
    } finally {
      unsubscribe('dm-thin:store', ask)
      await Promise.all(asked)
    }
    // A volume that was deleted twice would be in the kernel's log.
    expect(asked.length).toBeGreaterThan(3 * 3)
    expect(await store.verify()).toEqual([])
  }))

test('space() returns the figures of thin_ls', async () => {
  const files = storeFiles()
  const store = await LayerStore.open(files.options)
  await committed(store, 'below')
  await committed(store, 'above', 'below')
  await store.cleanup()
  const space = await store.space()
  expect(space.map(({ key, parent }) => [key, parent])).toEqual([
    ['below', ''],
    ['above', 'below'],
  ])
  await store.takeDown()
  const blocks = new Map(thinUsageBy(files.metadataFile).map(each => [each.id, each]))
  // In the order in which they were made: the empty file system is the first.
  const [, below, above] = [...blocks.values()]
  const bytes = (each: typeof below) => [each!.exclusiveBlocks * 65536, each!.sharedBlocks * 65536]
  expect(space.map(each => [each.exclusiveBytes, each.sharedBytes])).toEqual([bytes(below), bytes(above)])
  await (await LayerStore.open(files.options)).close()
  await endStore(files)
})

describe('inconsistencies of pool and records', () => {
  test('a volume without a record is kept until repair() is called with the option to delete it', () =>
    withStore({}, async (store, { poolName, options }) => {
      scratch.log.allow(/Creation of new snapshot \d+ of device \d+ failed/)
      await committed(store, 'layer')
      expect(await store.verify()).toEqual([])
      const next = Math.max(...thinIdsBy(poolName)) + 1
      // The store has claimed the first two ids, and nobody the third.
      const thins = [next, next + 5, next + 1000]
      for (const thin of thins) dmMessage(poolName, `create_thin ${thin}`)
      const found = (...ids: number[]) => ids.map(thin => ({ kind: 'volume-without-layer', thin, action: 'none' }))
      expect(await store.verify()).toEqual(found(...thins))
      // The first is met by choosing its id.
      await store.prepare('a', 'layer')
      expect(thinIdsBy(poolName)).toContain(next + 1)
      const other = await LayerStore.open(options)
      // Another process cannot distinguish the second from a volume that a call of the first process is making.
      expect(other.findings).toEqual([{ kind: 'volume-without-layer', thin: next + 1000, action: 'retired' }])
      expect(await other.verify()).toEqual(found(next, next + 1000))
      await other.close()
      expect(await store.verify()).toEqual(found(next + 5, next, next + 1000))
      expect(await store.repair()).toEqual(found(next + 5, next, next + 1000))
      const planned = await store.repair({ deleteRetired: true, dryRun: true })
      expect(kinds(planned)).toEqual(thins.map(() => ['volume-without-layer', 'deleted']))
      expect(thinIdsBy(poolName)).toContain(next)
      await store.repair({ deleteRetired: true })
      expect(thinIdsBy(poolName).filter(id => thins.includes(id))).toEqual([])
      expect(await store.verify()).toEqual([])
    }))

  test('a layer whose volume is lost is reported, and its record is deleted if it has no children', () =>
    withStore({}, async (store, { poolName, options }) => {
      await committed(store, 'layer')
      const before = thinIdsBy(poolName)
      await committed(store, 'lost', 'layer')
      await store.cleanup()
      const thin = thinIdsBy(poolName).find(id => !before.includes(id))!
      dmMessage(poolName, `delete ${thin}`)
      const other = await LayerStore.open(options)
      expect(other.findings).toEqual([{ kind: 'layer-without-volume', key: 'lost', thin, action: 'none' }])
      expect(kinds(await other.repair({ dryRun: true }))).toEqual([['layer-without-volume', 'deleted']])
      expect(kinds(await other.repair())).toEqual([['layer-without-volume', 'deleted']])
      expect(await keysOf(other)).toEqual(['layer'])
      expect(await other.verify()).toEqual([])
      await other.close()
    }))

  test('devices and loop devices of other programs are left alone', () =>
    withStore({}, async (store, { poolName, dataFile }) => {
      const layer = await store.prepare('a', '')
      const thin = Math.max(...thinIdsBy(poolName))
      const pool = dmInfo(poolName)!.number
      const sectors = (await store.stat('a')).sizeBytes / 512
      const foreign = scratch.name('foreign')
      dmCreate(foreign, `0 ${sectors} thin ${pool} ${thin}`)
      const [twice] = await store.verify()
      expect(twice).toMatchObject({ kind: 'active-twice', thin, action: 'none' })
      expect(twice?.detail).toContain(foreign)
      dmRemove(`${poolName}-${thin}`)
      expect(await store.verify()).toEqual([{ kind: 'foreign-device', thin, detail: foreign, action: 'none' }])
      dmRemove(foreign)
      const loop = run('losetup', ['--find', '--show', '--read-only', dataFile]).trim()
      expect(await store.repair({ dryRun: true })).toEqual([{ kind: 'leaked-loop', detail: loop, action: 'detached' }])
      expect(await store.repair()).toEqual([{ kind: 'leaked-loop', detail: loop, action: 'detached' }])
      expect(await store.verify()).toEqual([])
      expect(layer.mounts).toHaveLength(1)
    }))

  test('open() completes or reverts what a killed process had started', () =>
    withStore({}, async (store, { options }) => {
      const ends: [() => Promise<unknown>, object, string][] = [
        [() => killedWhileMounted(options, 'mounted'), { kind: 'left-mounted' }, 'unmounted'],
        [() => killedWork(options, 'new', { step: 'prepare.record' }), { kind: 'unfinished' }, 'undone'],
        [
          () => killedWork(options, 'died', { step: 'commit.deactivate' }),
          { kind: 'unfinished', key: 'died0' },
          'undone',
        ],
      ]
      for (const [end, finding, action] of ends) {
        await end()
        expect(await store.verify()).toEqual([expect.objectContaining({ ...finding, action: 'none' })])
        expect(await store.repair({ dryRun: true })).toEqual([expect.objectContaining({ ...finding, action })])
        expect(await store.repair()).toEqual([expect.objectContaining({ ...finding, action })])
        expect(await store.cleanup()).toEqual([])
        expect(await store.verify()).toEqual([])
      }
      expect(await keysOf(store)).toEqual(['died0', 'mounted'])
      await store.commit('layer', 'died0')
    }))
})

describe('open()', () => {
  test('rejects another pool than the recorded one, and a new pool if layers are recorded', async () => {
    const files = storeFiles()
    const { directory, options } = files
    const first = await LayerStore.open(options)
    await committed(first, 'layer')
    await first.takeDown()
    const pool = { ...options.pool, name: scratch.name('other') }
    await expectCode(LayerStore.open({ ...options, pool }), 'DM_STORE_MISMATCH')
    renameSync(files.metadataFile, `${files.metadataFile}.away`)
    await expectCode(LayerStore.open({ directory }), 'DM_STORE_MISMATCH')
    renameSync(`${files.metadataFile}.away`, files.metadataFile)
    const again = await LayerStore.open({ directory })
    expect(await keysOf(again)).toEqual(['layer'])
    await again.close()
    await endStore(files)
  })

  test('rejects a missing device without recording it, so that the next open() can name another', async () => {
    const files = storeFiles()
    const { options } = files
    const wrong = { ...options.pool, data: '/dev/dmthintest-none' }
    await expectCode(LayerStore.open({ ...options, pool: wrong }), 'DM_FILE_MISSING')
    const store = await LayerStore.open(options)
    await expectCode(LayerStore.open({ ...options, pool: wrong }), 'DM_STORE_MISMATCH')
    await store.prepare('a', '')
    await store.close()
    await endStore(files)
  })

  test('rejects records of a later version, and a file that is not a database', () =>
    withStore({}, async (_, { options }) => {
      const directory = scratch.path('later')
      const other = await LayerStore.open({ ...options, directory, pool: { name: scratch.name('later') } })
      await other.takeDown()
      const database = new Sqlite(path.join(directory, 'layers.db'))
      database.pragma('user_version = 99')
      database.close()
      await expectCode(LayerStore.open({ directory }), 'DM_STORE_MISMATCH')
      writeFileSync(path.join(directory, 'layers.db'), 'x'.repeat(8192))
      await expectCode(LayerStore.open({ directory }), 'DM_STORE_DATABASE')
    }))
})

test('ext4 on a pool that does not zero blocks is created without relying on zeros', async () => {
  const files = storeFiles({ dataBytes: 128 * MiB })
  writeFileSync(files.dataFile, Buffer.alloc(128 * MiB, 0xff)) // what lay there before
  const pool = { ...files.options.pool!, skipBlockZeroing: true }
  const store = await LayerStore.open({ ...files.options, pool })
  const layer = await store.prepare('a', '')
  await store.withMounted('a', async folder => {
    for (let at = 0; at < 100; at += 1) writeFileSync(path.join(folder, String(at)), String(at))
  })
  expect(tryRun('e2fsck', ['-fn', layer.mounts[0]!.source])).toMatchObject({ status: 0 })
  await store.commit('layer', 'a')
  await store.close()
  await endStore(files)
})

test('a failed mkfs leaves nothing behind, and a formatter of the caller is used', () =>
  withStore({ format: () => Promise.reject(new Error('no')) }, async (store, { poolName, options }) => {
    await expect(store.prepare('a', '')).rejects.toThrow('no')
    expect(thinIdsBy(poolName)).toEqual([])
    expect(await store.verify()).toEqual([])
    const asked: [string, boolean][] = []
    const own = await LayerStore.open({
      ...options,
      format: async ({ device, fileSystem, zeroed }) => {
        asked.push([fileSystem, zeroed])
        run('mkfs.ext4', ['-q', '-F', '-L', 'mine', device])
      },
    })
    const layer = await own.prepare('a', '')
    expect(asked).toEqual([['ext4', true]])
    expect(run('blkid', ['-o', 'value', '-s', 'LABEL', layer.mounts[0]!.source]).trim()).toBe('mine')
    await own.prepare('b', '')
    expect(asked).toHaveLength(1)
    await own.close()
  }))
