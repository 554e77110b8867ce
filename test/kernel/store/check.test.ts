// The option `check` of LayerStore.open: the metadata of the pool is checked before the pool is started.
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { ThinPool, type MetadataAtRest } from '../../../lib/entry/index.js'
import { LayerStore } from '../../../lib/entry/store.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { markedDevices, markedLoops } from '../../helpers/kernel/kernel-state.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { DAMAGE } from '../../helpers/metadata/damage.js'
import { endStore, storeFiles, type StoreFiles } from '../../helpers/store/stores.js'

useScratch()

/** A store with one layer, whose pool is not running. */
async function atRest(): Promise<StoreFiles> {
  const files = storeFiles()
  const store = await LayerStore.open({ ...files.options, check: 'full' }) // a pool that does not exist yet is created
  await store.prepare('layer', '')
  await store.withMounted('layer', async folder => writeFileSync(path.join(folder, 'content'), 'as written'))
  await store.takeDown()
  return files
}

async function expectWhole(store: LayerStore): Promise<void> {
  expect(await store.verify()).toEqual([])
  await store.withMounted('layer', async folder =>
    expect(readFileSync(path.join(folder, 'content'), 'utf8')).toBe('as written'),
  )
}

const repair = async ({ options, metadataFile, dataFile, poolName }: StoreFiles) => {
  const place = { name: poolName, data: { file: dataFile }, metadata: { file: metadataFile } }
  await (await ThinPool.repair(place)).pool.remove()
  return options
}

test('open() with check rejects damaged metadata with the state and the call, starts nothing, and opens after a repair', async () => {
  const files = await atRest()
  DAMAGE.bitmap(files.metadataFile)
  const fault = await expectCode(LayerStore.open({ ...files.options, check: 'full' }), 'DM_CHECK_FAILED')
  expect(fault).toMatchObject({ detail: 'damaged' })
  expect(fault.message).toContain('ThinPool.repair(')
  expect([markedDevices(), markedLoops()]).toEqual([[], []])
  const store = await LayerStore.open({ ...(await repair(files)), check: 'full' })
  await expectWhole(store)
  await store.takeDown()

  DAMAGE.needsCheck(files.metadataFile)
  expect(await expectCode(LayerStore.open({ ...files.options, check: 'quick' }), 'DM_CHECK_FAILED')).toMatchObject({
    detail: 'needs-check',
  })
  expect([markedDevices(), markedLoops()]).toEqual([[], []])
  const again = await LayerStore.open({ ...(await repair(files)), check: 'quick' })
  await expectWhole(again)
  await again.close()
  await endStore(files)
})

test('open() calls a function as check before it starts the pool, and not if the pool is running', async () => {
  const files = await atRest()
  const seen: MetadataAtRest[] = []
  const check = (metadata: MetadataAtRest) => void seen.push(metadata)
  const fail = () => {
    throw new Error('not today')
  }
  const fault = await expectCode(LayerStore.open({ ...files.options, check: fail }), 'DM_CHECK_FAILED')
  expect(fault.message).toContain('not today')
  expect(markedDevices()).toEqual([])
  const store = await LayerStore.open({ ...files.options, check })
  expect(seen).toMatchObject([{ path: expect.stringMatching(/^\/dev\/loop\d+$/) as unknown, needsCheck: false }])
  const second = await LayerStore.open({ ...files.options, check })
  expect(seen).toHaveLength(1)
  await expectWhole(second)
  await second.close()
  await store.close()
  await endStore(files)
})

test('open() with check starts a pool with leaked blocks', async () => {
  const files = await atRest()
  DAMAGE.leak(files.metadataFile)
  const store = await LayerStore.open({ ...files.options, check: 'full' })
  expect((await store.status()).pool.mode).toBe('rw')
  await expectWhole(store)
  await store.takeDown()
  const whole = await LayerStore.open(await repair(files))
  await whole.close()
  await endStore(files)
})
