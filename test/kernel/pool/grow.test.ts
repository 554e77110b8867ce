// Scenario                                                  Test
// D  set_data; K resize in 8 steps                          grow() of data enlarges file …
// D  set_meta; K metadata_resize no_io steps                grow() of metadata enlarges the …
// K  resize_io; extra space must not be used before         volumes stay active with their contents …
// M  IncreaseLoopBackSize                                   grow() of data enlarges file …
// M  ReduceLoopBackSize; K data smaller than pool on reload  rejects smaller sizes of …
// M  ResizePool leaves the pool suspended (defect)          rejects smaller sizes of …; rejects a device that has not grown …
// A  lengths that are no multiple of 512 (defect)           rejects sizes that are not whole sectors …
// @udev both
import { statSync } from 'node:fs'
import { truncate } from 'node:fs/promises'
import { MiB, ThinPool } from '../../../lib/entry/index.js'
import { BLOCK, pattern, readAt, writeAt } from '../../helpers/kernel/blocks.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { snapshotKernelState } from '../../helpers/kernel/kernel-state.js'
import { withPool } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run } from '../../helpers/process/spawned.js'
import { dmCreate, dmInfo, dmStatus, dmTable, thinCheck } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()

test('grow() of data enlarges file, loop device, table and total, also to sizes within a block', async () => {
  await withPool({ dataBytes: 4 * MiB }, async (pool, { name, dataFile }) => {
    for (const dataBytes of [4 * MiB, 5 * MiB, 8 * MiB + 512, 9 * MiB, 64 * MiB]) {
      await pool.grow({ dataBytes })
      const blocks = Math.floor(dataBytes / BLOCK)
      expect(statSync(dataFile).size).toBe(dataBytes)
      expect(dmTable(name)).toMatch(new RegExp(`^0 ${dataBytes / 512} thin-pool `))
      expect((await pool.status()).data!.totalBlocks).toBe(blocks)
      expect(dmStatus(name)).toContain(` 0/${blocks} - rw `)
    }
    expect(dmInfo(name)).toMatchObject({ suspended: false, inactiveTable: false })
  })
})

test('grow() of metadata enlarges the total that the pool reports', async () => {
  await withPool({ metadataBytes: 2 * MiB }, async (pool, { name, metadataFile }) => {
    for (const metadataBytes of [3 * MiB, 7 * MiB, 31 * MiB, 67 * MiB]) {
      await pool.grow({ metadataBytes })
      expect(statSync(metadataFile).size).toBe(metadataBytes)
      expect((await pool.status()).metadata!.totalBlocks).toBe(metadataBytes / 4096)
      expect(dmStatus(name)).toContain(`/${metadataBytes / 4096} 0/1024 - rw `)
    }
    await pool.createVolume({ sizeBytes: MiB })
  })
})

test('grow() enlarges data and metadata in one call', async () => {
  await withPool(async pool => {
    await pool.grow({ dataBytes: 128 * MiB, metadataBytes: 8 * MiB })
    expect(await pool.status()).toMatchObject({ data: { totalBlocks: 2048 }, metadata: { totalBlocks: 2048 } })
  })
})

test('volumes stay active with their contents while the pool grows, and use the new space afterwards', async () => {
  await withPool({ dataBytes: 2 * MiB }, async (pool, { reopen }) => {
    const volume = await (await pool.createVolume({ sizeBytes: 16 * MiB })).activate()
    await writeAt(volume.path, 0, pattern(1, MiB))
    await Promise.all([pool.grow({ dataBytes: 8 * MiB }), writeAt(volume.path, MiB, pattern(2, MiB))])
    await writeAt(volume.path, 2 * MiB, pattern(3, 4 * MiB))
    await pool.remove({ deactivate: true })
    const again = await ThinPool.open(reopen)
    expect((await again.status()).data).toMatchObject({ totalBlocks: 128, usedBlocks: 96 })
    const found = await (await again.volume(0, { sizeBytes: 16 * MiB })).activate()
    const content = Buffer.concat([pattern(1, MiB), pattern(2, MiB), pattern(3, 4 * MiB)])
    expect((await readAt(found.path, 0, 6 * MiB)).equals(content)).toBe(true)
  })
})

describe('grow()', () => {
  test('rejects smaller sizes of data and of metadata, and leaves the pool unchanged', async () => {
    await withPool(async (pool, { dataFile }) => {
      const before = await snapshotKernelState()
      await expectCode(pool.grow({ dataBytes: 32 * MiB }), 'DM_INVALID_ARGUMENT')
      await expectCode(pool.grow({ metadataBytes: 2 * MiB }), 'DM_INVALID_ARGUMENT')
      expect(await snapshotKernelState()).toBe(before)
      expect(statSync(dataFile).size).toBe(64 * MiB)
      expect((await pool.status()).mode).toBe('rw')
    })
  })

  test('rejects sizes that are not whole sectors, and leaves the pool unchanged', async () => {
    await withPool(async pool => {
      const before = await snapshotKernelState()
      for (const size of [0, -512, 64 * MiB + 1, 65 * MiB + 0.5, Number.POSITIVE_INFINITY]) {
        await expectCode(pool.grow({ dataBytes: size }), 'DM_INVALID_ARGUMENT')
        await expectCode(pool.grow({ metadataBytes: size }), 'DM_INVALID_ARGUMENT')
      }
      expect(await snapshotKernelState()).toBe(before)
    })
  })

  test('rejects a missing file, and leaves the pool unchanged', async () => {
    await withPool({ check: false }, async (pool, { dataFile }) => {
      run('rm', [dataFile])
      const before = await snapshotKernelState()
      await expectCode(pool.grow({ dataBytes: 128 * MiB }), 'DM_FILE_MISSING')
      expect(await snapshotKernelState()).toBe(before)
    })
  })

  test('rejects a device that has not grown, and succeeds when it has grown', async () => {
    const file = scratch.path('device.img')
    run('truncate', ['-s', '8M', file])
    const loop = run('losetup', ['--find', '--show', file]).trim()
    const name = scratch.name('linear')
    dmCreate(name, `0 8192 linear ${loop} 0`)
    const device = `/dev/dm-${dmInfo(name)!.number.split(':')[1]}`
    const metadata = scratch.path('device-metadata.img')
    const pool = await ThinPool.create({
      name: scratch.name('pool'),
      data: { device },
      metadata: { file: metadata, sizeBytes: 4 * MiB },
    })
    const before = await snapshotKernelState()
    const fault = await expectCode(pool.grow({ dataBytes: 8 * MiB }), 'DM_INVALID_ARGUMENT')
    expect(fault.message).toContain('4194304')
    expect(await snapshotKernelState()).toBe(before)

    run('dmsetup', ['load', name, '--table', `0 16384 linear ${loop} 0`])
    run('dmsetup', ['resume', '--noudevsync', name])
    await pool.grow({ dataBytes: 8 * MiB })
    expect((await pool.status()).data!.totalBlocks).toBe(128)
    await pool.remove()
    thinCheck(metadata)
    run('dmsetup', ['remove', '--noudevsync', '--retry', name])
    run('losetup', ['--detach', loop])
  })
})

test('grow() of a file that was already enlarged resizes only the loop device and the pool', async () => {
  await withPool(async (pool, { dataFile }) => {
    await truncate(dataFile, 96 * MiB)
    await pool.grow({ dataBytes: 96 * MiB })
    expect((await pool.status()).data!.totalBlocks).toBe(1536)
  })
})
