// A store takes no disk and no pool for its own that is not: by what the disk says of itself, and by what is in the pool.
import { LayerStore } from '../../../lib/entry/store.js'
import { LoopDevice, MiB, ThinPool } from '../../../lib/entry/index.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { takeDown } from '../../helpers/pool/pools.js'
import { run } from '../../helpers/process/spawned.js'
import { endStore, keysOf, storeFiles } from '../../helpers/store/stores.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { dmInfo, dmRemove } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()

test('open() rejects a device with the recorded name and another identity, and does not open it', async () => {
  const files = storeFiles()
  const file = scratch.path('disk')
  run('truncate', ['-s', String(512 * MiB), file])
  const loop = await LoopDevice.attach({ file })
  const name = scratch.name('disk')
  const disk = (uuid: string) =>
    run('dmsetup', [
      'create',
      name,
      '-u',
      uuid,
      '--noudevsync',
      '--table',
      `0 ${(512 * MiB) / 512} linear ${loop.path} 0`,
    ])
  disk('dmthintest-one')
  const data = `/dev/dm-${dmInfo(name)!.number.split(':')[1]}`
  const options = { ...files.options, pool: { ...files.options.pool, data } }
  const store = await LayerStore.open(options)
  await store.prepare('a')
  await store.takeDown()
  dmRemove(name)
  disk('dmthintest-two')
  const fault = await expectCode(LayerStore.open(options), 'DM_STORE_MISMATCH')
  expect(fault.message).toContain('device mapper dmthintest-two')
  expect(dmInfo(files.poolName)).toBeUndefined()
  dmRemove(name)
  disk('dmthintest-one')
  const again = await LayerStore.open({ directory: files.directory })
  expect(await keysOf(again)).toEqual(['a'])
  await again.takeDown()
  dmRemove(name)
  await loop.detach()
  await (await ThinPool.open({ name: files.poolName, data: { file }, metadata: { file: files.metadataFile } })).close()
  await endStore(files)
})

test('open() accepts a pool with volumes and no records only with the option adopt', async () => {
  const files = storeFiles()
  const { poolName: name, dataFile, metadataFile, options } = files
  const sources = {
    data: { file: dataFile, sizeBytes: 256 * MiB },
    metadata: { file: metadataFile, sizeBytes: 16 * MiB },
  }
  const pool = await ThinPool.create({ name, ...sources })
  await pool.createVolume({ id: 7, sizeBytes: 16 * MiB })
  await pool.remove()
  const given = { ...options, pool: { name, ...sources } }
  await expectCode(LayerStore.open(given), 'DM_STORE_MISMATCH')
  expect(dmInfo(name)).toBeUndefined()
  const running = await ThinPool.open({ name, ...sources })
  await running.close()
  await expectCode(
    LayerStore.open({ ...given, pool: { ...given.pool, errorIfNoSpace: true } as never }),
    'DM_INVALID_ARGUMENT',
  )
  expect(dmInfo(name)).toBeDefined()
  await takeDown(name)
  const store = await LayerStore.open({ ...given, pool: { ...given.pool, adopt: true } })
  expect(store.findings).toEqual([{ kind: 'volume-without-layer', thin: 7, action: 'retired' }])
  await store.prepare('a')
  await store.close()
  await (await LayerStore.open({ directory: files.directory })).close()
  await endStore(files)
})
