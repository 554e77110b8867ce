import { ThinPool } from 'dm-thin'
import { memoryKernel } from 'dm-thin/testing'

test('a pool in memory: volumes, a snapshot, usage, a fault on order, and nothing left', async () => {
  const kernel = memoryKernel({ dataBlocks: 100 })
  const pool = await ThinPool.create(kernel.poolOptions('demo'))
  expect((await pool.status()).data.totalBlocks).toBe(100)
  const volume = await (await pool.createVolume({ sizeBytes: 1 << 20 })).activate()
  await kernel.write(volume.path, 0, 3 * 65536)
  const copy = await volume.snapshot({ activate: true })
  await kernel.write(copy.path, 0, 5)
  expect(await pool.usage()).toEqual([
    { id: 0, mappedBlocks: 3, exclusiveBlocks: 1, sharedBlocks: 2 },
    { id: 1, mappedBlocks: 3, exclusiveBlocks: 1, sharedBlocks: 2 },
  ])
  expect((await pool.volumes()).map(({ id }) => id)).toEqual([0, 1])
  kernel.fail('TARGET_MSG', 'ENOSPC')
  await expect(pool.createVolume({ sizeBytes: 512 })).rejects.toMatchObject({ code: 'DM_POOL_FULL' })
  await pool.remove({ deactivate: true, deleteFiles: true })
  expect(kernel.left()).toEqual({ devices: [], loops: [], files: [], mounts: [] })
})
