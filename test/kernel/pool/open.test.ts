// Scenario                                                  Test
// D  new against setup, idempotent adoption                 open() adopts a running pool by its …
// D  setup compares tables                                  names every parameter that differs
// C  pool_device: found again after a restart               open() starts a stopped pool with its …
// M  existing loops by device and inode                     open() finds loop devices by the inode of the …
// M  ReduceLoopBackSize                                     rejects data that has become smaller …
// K  reopening with another block size                      rejects another block size
// K  zeroed superblock is formatted silently                rejects blank metadata …
// K  garbage superblock                                     rejects %s with DM_METADATA_CORRUPT …
// K  read_only                                              a pool that is opened read-only …
// bad input: vanished, another size, not a pool             rejects a missing file; rejects a file that …; open() rejects …
// @udev both
import { copyFileSync, linkSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs'
import { truncate } from 'node:fs/promises'
import { GiB, KiB, MiB, ThinPool, type OpenPoolOptions } from '../../../lib/entry/index.js'
import { seedOf, writeBlock } from '../../helpers/kernel/blocks.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { markedLoops, snapshotKernelState } from '../../helpers/kernel/kernel-state.js'
import { withPool, type PoolFiles } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run } from '../../helpers/process/spawned.js'
import { dmCreate, dmInfo, dmRemove, dmResume, dmSuspend, dmTable } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()

async function refused(options: OpenPoolOptions | string, code: Parameters<typeof expectCode>[1]) {
  const before = await snapshotKernelState()
  const fault = await expectCode(ThinPool.open(options), code)
  expect(await snapshotKernelState()).toBe(before)
  return fault
}

test('open() adopts a running pool by its name or with its files, also concurrently', async () => {
  await withPool(async (pool, { name, reopen }) => {
    await pool.createVolume({ sizeBytes: MiB, id: 5 })
    const before = await snapshotKernelState()
    const opened = await Promise.all([ThinPool.open(name), ThinPool.open({ name }), ThinPool.open(reopen)])
    for (const other of opened) {
      expect(other.path).toBe(pool.path)
      expect(other.findings).toEqual([])
      expect((await other.volumes()).map(volume => volume.id)).toEqual([5])
      await other.close()
    }
    expect(await snapshotKernelState()).toBe(before)
  })
})

test('open() starts a stopped pool with its volumes, their contents and the same table', async () => {
  await withPool({ lowWaterMarkBlocks: 10 }, async (pool, { name, reopen }) => {
    const volume = await (await pool.createVolume({ sizeBytes: 16 * MiB })).activate()
    await writeBlock(volume.path, 9, 42)
    await volume.snapshot({ id: 7 })
    const table = dmTable(name).split(' ').slice(5).join(' ')
    await pool.remove({ deactivate: true })
    expect(markedLoops()).toEqual([])

    const again = await ThinPool.open({ ...reopen, lowWaterMarkBlocks: 10 })
    expect(dmTable(name).split(' ').slice(5).join(' ')).toBe(table)
    expect((await again.volumes()).map(each => [each.id, each.active])).toEqual([
      [0, false],
      [7, false],
    ])
    for (const id of [0, 7]) {
      const found = await (await again.volume(id, { sizeBytes: 16 * MiB })).activate()
      expect(await seedOf(found.path, 9, [42])).toBe(42)
    }
  })
})

test('open() finds loop devices by the inode of the file and not by its path', async () => {
  await withPool(async (pool, { dataFile, metadataFile, reopen }) => {
    await pool.remove()
    const loop = run('losetup', ['--find', '--show', dataFile]).trim()
    linkSync(dataFile, `${dataFile}.link`)
    renameSync(dataFile, `${dataFile}.moved`)
    copyFileSync(`${dataFile}.moved`, dataFile)
    const again = await ThinPool.open({ ...reopen, data: { file: `${dataFile}.link` } })
    expect(markedLoops().map(each => each.file)).toEqual([`${dataFile}.moved`, metadataFile])
    expect(dmTable(again.name)).toContain(` ${loop.replace('/dev/loop', '7:')} 128`)
    // The copy has the old path and another inode: it is not this pool's.
    await refused(reopen, 'DM_POOL_MISMATCH')
    await again.remove()
    run('losetup', ['--detach', loop]) // attached by losetup, so it is not the pool's to detach
  })
})

describe('open() of a running pool with other options', () => {
  test('names every parameter that differs', async () => {
    const changes: [string, Partial<OpenPoolOptions>][] = [
      ['dataBlockBytes', { dataBlockBytes: 128 * KiB }],
      ['lowWaterMarkBlocks', { lowWaterMarkBlocks: 1 }],
      ['skipBlockZeroing', { skipBlockZeroing: true }],
      ['ignoreDiscard', { ignoreDiscard: true }],
      ['noDiscardPassdown', { noDiscardPassdown: true }],
      ['readOnly', { readOnly: true }],
      ['errorIfNoSpace', { errorIfNoSpace: true }],
    ]
    await withPool(async (_, { reopen }) => {
      for (const [what, change] of changes) {
        expect((await refused({ ...reopen, ...change }, 'DM_POOL_MISMATCH')).message).toContain(what)
      }
    })
  })

  test('names data and metadata if they are exchanged', async () => {
    await withPool(async (_, { reopen }) => {
      const exchanged = { ...reopen, data: reopen.metadata, metadata: reopen.data }
      expect((await refused(exchanged, 'DM_POOL_MISMATCH')).message).toContain('data is ')
      const device = markedLoops()[0]!.name
      await refused({ ...reopen, metadata: { device } }, 'DM_POOL_MISMATCH')
    })
  })
})

/** A pool that has been there and is at rest; `body` spoils something. */
const atRest = (body: (files: PoolFiles) => Promise<void>) =>
  withPool({ check: false }, async (pool, files) => {
    await pool.createVolume({ sizeBytes: MiB })
    await pool.remove()
    await body(files)
  })

describe('open() of a stopped pool', () => {
  test('rejects another block size', () =>
    atRest(async ({ reopen }) => {
      const fault = await refused({ ...reopen, dataBlockBytes: 128 * KiB }, 'DM_POOL_MISMATCH')
      expect(fault.message).toContain('65536')
    }))

  test('rejects data that has become smaller, which would leave the pool suspended in the kernel', () =>
    atRest(async ({ reopen, dataFile }) => {
      await truncate(dataFile, 32 * MiB)
      await refused(reopen, 'DM_POOL_MISMATCH')
    }))

  test('rejects a file that is smaller than stated', () =>
    atRest(async ({ reopen, dataFile }) => {
      await refused({ ...reopen, data: { file: dataFile, sizeBytes: 32 * GiB } }, 'DM_FILE_SIZE')
    }))

  test('rejects a missing file', () =>
    atRest(async ({ reopen, metadataFile }) => {
      rmSync(metadataFile)
      expect((await refused(reopen, 'DM_FILE_MISSING')).message).toContain(metadataFile)
    }))

  test('rejects blank metadata with DM_METADATA_BLANK, and never formats it', () =>
    atRest(async ({ reopen, metadataFile }) => {
      await truncate(metadataFile, 0)
      await truncate(metadataFile, 4 * MiB)
      await refused(reopen, 'DM_METADATA_BLANK')
      expect(readFileSync(metadataFile).every(byte => byte === 0)).toBe(true)
    }))

  test.each([
    ['garbage', (file: string) => writeSync(openSync(file, 'r+'), Buffer.alloc(4096, 0x5a), 0, 4096, 0)],
    ['a flipped bit', (file: string) => writeSync(openSync(file, 'r+'), 'X', 3000)],
  ])('rejects %s with DM_METADATA_CORRUPT, and leaves the metadata unchanged', async (_, spoil) =>
    atRest(async ({ reopen, metadataFile }) => {
      spoil(metadataFile)
      const content = readFileSync(metadataFile)
      await refused(reopen, 'DM_METADATA_CORRUPT')
      expect(readFileSync(metadataFile).equals(content)).toBe(true)
    }),
  )
})

test('a pool that is opened read-only rejects messages and keeps its contents', async () => {
  scratch.log.allow(/unable to service pool target messages in READ_ONLY/)
  await withPool(async (pool, { reopen }) => {
    const { id } = await pool.createVolume({ sizeBytes: MiB })
    await pool.remove()
    const again = await ThinPool.open({ ...reopen, readOnly: true })
    expect((await again.status()).mode).toBe('ro')
    await expectCode(again.createVolume({ sizeBytes: MiB }), 'DM_POOL_READ_ONLY')
    const volume = await (await again.volume(id, { sizeBytes: MiB })).activate({ readOnly: true })
    expect(await seedOf(volume.path, 0, [])).toBe('zero')
  })
})

test('open() rejects a device that is not a pool, a missing pool, and options without files', async () => {
  const name = scratch.name('error')
  await refused(name, 'DM_NOT_FOUND')
  dmCreate(name, '0 8 zero')
  await refused(name, 'DM_NOT_A_POOL')
  dmRemove(name)
  await refused({ name, lowWaterMarkBlocks: 3 }, 'DM_INVALID_ARGUMENT')
  await refused({ name, data: { file: '/nowhere' } }, 'DM_INVALID_ARGUMENT')
  await refused('', 'DM_INVALID_ARGUMENT')
})

test('open() reports a pool that another program suspended, and leaves it suspended', async () => {
  await withPool(async (_, { name }) => {
    dmSuspend(name)
    const again = await ThinPool.open(name)
    expect(again.findings).toEqual([{ kind: 'suspended-pool', device: name, action: 'none' }])
    expect(dmInfo(name)).toMatchObject({ suspended: true })
    dmResume(name)
  })
})
