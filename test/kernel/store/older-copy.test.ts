// Pools and records that were restored from a copy: the difference is found, and nothing is deleted because of it.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { MiB } from '../../../lib/entry/index.js'
import { LayerStore, type StoreFinding, type StoreStep } from '../../../lib/entry/store.js'
import { run } from '../../helpers/process/spawned.js'
import { endStore, keysOf, storeFiles, thinIdsBy, type StoreFiles } from '../../helpers/store/stores.js'
import { useScratch } from '../../helpers/kernel/scratch.js'

const scratch = useScratch()

const kinds = (findings: readonly StoreFinding[]) => findings.map(({ kind, action }) => [kind, action])

async function committed(store: LayerStore, name: string, parent = ''): Promise<void> {
  await store.prepare(`${name}-active`, parent)
  await store.withMounted(`${name}-active`, async folder =>
    writeFileSync(path.join(folder, name), Buffer.alloc(1 * MiB, name.charCodeAt(0))),
  )
  await store.commit(name, `${name}-active`)
}

const byKey = (findings: readonly StoreFinding[]) =>
  [...findings].sort((a, b) => (a.key ?? '').localeCompare(b.key ?? ''))

/** Opens the store, runs `body`, and takes the pool down. */
async function during({ options }: StoreFiles, body: (store: LayerStore) => Promise<unknown>): Promise<void> {
  const store = await LayerStore.open(options)
  await body(store)
  await store.takeDown()
}

/** Copies both devices of a pool that does not run. Returns the function that puts the copies in their place. */
function copied({ dataFile, metadataFile }: StoreFiles): () => void {
  const copy = (from: string, to: string) => run('cp', ['--sparse=always', from, to])
  const files = [dataFile, metadataFile].map(file => ({ file, saved: scratch.path(path.basename(file)) }))
  for (const { file, saved } of files) copy(file, saved)
  return () => files.forEach(({ file, saved }) => copy(saved, file))
}

test('a pool older than the records is reported, and nothing is deleted', async () => {
  const files = storeFiles()
  await during(files, store => committed(store, 'layer'))
  const restore = copied(files)
  await during(files, store => committed(store, 'later', 'layer'))
  restore()
  const store = await LayerStore.open(files.options)
  expect(kinds(store.findings)).toEqual([
    ['transaction-behind', 'none'],
    ['layer-without-volume', 'none'],
  ])
  expect(store.findings[0]!.detail).toMatch(/^the pool has \d+, the records \d+$/)
  // Nothing is deleted by the records while it is not known which of the two is right.
  expect(kinds(await store.repair())).toEqual(kinds(store.findings))
  expect(await keysOf(store)).toEqual(['later', 'layer'].sort())
  expect(kinds(await store.repair({ acceptPool: true }))).toEqual([
    ['transaction-behind', 'accepted'],
    ['layer-without-volume', 'deleted'],
  ])
  expect(await keysOf(store)).toEqual(['layer'])
  expect(await store.verify()).toEqual([])
  await store.close()
  await endStore(files)
})

test('a pool that lacks only layers that were prepared since its last commit point is reported as older', async () => {
  const files = storeFiles()
  await during(files, async store => {
    await committed(store, 'layer')
    await store.prepare('kept', 'layer')
  })
  const restore = copied(files)
  await during(files, async store => {
    await Promise.all(['a', 'b'].map(key => store.prepare(key, 'layer')))
    await store.view('c', 'layer')
  })
  restore()
  const detail = 'the pool has made 2 snapshots, the records show 5'
  const lost = ['a', 'b', 'c'].map(key => ({ kind: 'layer-without-volume', key, action: 'none' }))
  const found = [{ kind: 'transaction-behind', detail, action: 'none' }, ...lost]
  const store = await LayerStore.open(files.options)
  expect(byKey(store.findings)).toMatchObject(found)
  expect(byKey(await store.verify())).toMatchObject(found)
  expect(kinds(await store.repair())).toEqual(kinds(store.findings))
  expect(await keysOf(store)).toEqual(['a', 'b', 'c', 'kept', 'layer'])
  expect(kinds(await store.repair({ acceptPool: true }))).toEqual([
    ['transaction-behind', 'accepted'],
    ...lost.map(() => ['layer-without-volume', 'deleted']),
  ])
  expect(await keysOf(store)).toEqual(['kept', 'layer'])
  // The pool makes snapshots again that the lost layers counted.
  await store.prepare('a', 'layer')
  expect(await store.verify()).toEqual([])
  await store.takeDown()
  await during(files, async again => expect(again.findings).toEqual([]))
  await endStore(files)
})

test('records older than the pool delete no volume', async () => {
  const files = storeFiles()
  const { directory, options, poolName } = files
  const database = ['layers.db', 'layers.db-wal']
  const copy = (from: string, to: string) =>
    database.forEach(name => copyFileSync(path.join(from, name), path.join(to, name)))
  const backup = scratch.path('backup')
  mkdirSync(backup)
  const first = await LayerStore.open(options)
  const back = (message: unknown) => {
    const { step, key } = message as StoreStep
    if (step === 'prepare.record' && key === 'live') copy(directory, backup)
  }
  subscribe('dm-thin:store', back)
  await first.prepare('live').finally(() => unsubscribe('dm-thin:store', back))
  await first.prepare('later')
  const before = thinIdsBy(poolName)
  await first.takeDown()
  copy(backup, directory)
  const second = await LayerStore.open(options)
  expect(kinds(second.findings)).toEqual([
    ['volume-without-layer', 'retired'],
    ['volume-without-layer', 'retired'],
  ])
  expect(await second.cleanup()).toEqual([])
  expect(thinIdsBy(poolName)).toEqual(before)
  await second.close()
  await endStore(files)
})
