// Scenario                                                  Test
// bad input: file too small, vanished, no file at all       ThinPool.create with files
// bad input: a file system without holes                    rejects a file system without holes …
// M  existing loops; bad input: attached elsewhere          rejects a file that is attached elsewhere …
// K  a zeroed superblock is formatted silently, garbage     ThinPool.create with metadata that is …
// K  multiple pools on the same metadata or data            rejects the metadata and the data device of a …
// K  stacked pools (three deep there, two here)             accepts idle block devices, also mapped …
// @udev both
import { writeFileSync } from 'node:fs'
import { truncate } from 'node:fs/promises'
import { type CreatePoolOptions, KiB, MiB, ThinPool } from '../../../lib/entry/index.js'
import { writeAt } from '../../helpers/kernel/blocks.js'
import { freshPool, refusedPool } from '../../helpers/pool/fresh-pool.js'
import { markedLoops } from '../../helpers/kernel/kernel-state.js'
import { takeDown, withPool } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run } from '../../helpers/process/spawned.js'
import { thinCheck } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()
const fresh = (changes: Partial<CreatePoolOptions> = {}) => freshPool(scratch, changes)

describe('ThinPool.create with files', () => {
  test('uses an existing file of the requested size, and rejects and keeps one of another size', async () => {
    const options = fresh()
    writeFileSync(options.data.file, '')
    await truncate(options.data.file, 32 * MiB)
    await refusedPool(options, 'DM_FILE_SIZE')
    const pool = await ThinPool.create({ ...options, data: { file: options.data.file, sizeBytes: 32 * MiB } })
    expect((await pool.status()).data!.totalBlocks).toBe(512)
    await pool.remove()
  })

  test('rejects a file that is too small for metadata', async () => {
    const options = fresh()
    const file = scratch.path('small')
    writeFileSync(file, Buffer.alloc(MiB))
    const fault = await refusedPool({ ...options, metadata: { file } }, 'DM_INVALID_ARGUMENT')
    expect(fault.message).toContain('1048576')
    expect(fault.rollback.map(step => [step.operation, step.errno])).toEqual([
      ['LOOP_CLR_FD', 0],
      ['LOOP_CLR_FD', 0],
      ['unlink', 0],
    ])
  })

  test('names a file that is missing', async () => {
    const options = fresh()
    const fault = await refusedPool({ ...options, data: { file: scratch.path('gone') } }, 'DM_FILE_MISSING')
    expect(fault.message).toContain('gone')
    await refusedPool({ ...options, data: { device: '/dev/dmthintest-none' } }, 'DM_FILE_MISSING')
    const folder = scratch.path('no-folder/data')
    await refusedPool({ ...options, data: { file: folder, sizeBytes: MiB } }, 'DM_FILE_MISSING')
  })

  test('rejects a path that is neither a file nor a block device', async () => {
    const options = fresh()
    await refusedPool({ ...options, data: { file: '/dev/null' } }, 'DM_INVALID_ARGUMENT')
    await refusedPool({ ...options, data: { device: '/dev/null' } }, 'DM_INVALID_ARGUMENT')
    await refusedPool({ ...options, data: { device: scratch.path('.') } }, 'DM_INVALID_ARGUMENT')
  })

  test('rejects a file system without holes instead of filling the file with zeros', async () => {
    const image = scratch.path('vfat.img')
    const folder = scratch.path('vfat')
    run('truncate', ['-s', '32M', image])
    run('mkfs.vfat', [image])
    run('mkdir', [folder])
    run('mount', ['-o', 'loop', '-t', 'vfat', image, folder])
    const options = fresh({ data: { file: `${folder}/data`, sizeBytes: 16 * MiB } })
    const fault = await refusedPool(options, 'DM_FILE_NO_HOLES')
    expect(fault.rollback).toEqual([{ operation: 'unlink', device: `${folder}/data`, errno: 0 }])
    run('umount', [folder])
  })

  test('rejects a file that is attached elsewhere, and leaves it attached', async () => {
    const options = fresh()
    run('truncate', ['-s', '64M', options.data.file])
    const loop = run('losetup', ['--find', '--show', options.data.file]).trim()
    const fault = await refusedPool(options, 'DM_FILE_ATTACHED')
    expect(fault.detail).toBe(loop)
    run('losetup', ['--detach', loop])
  })

  test('rejects one file for both data and metadata', async () => {
    const options = fresh()
    const same = { file: options.data.file, sizeBytes: 16 * MiB }
    await refusedPool({ ...options, data: same, metadata: same }, 'DM_FILE_ATTACHED')
  })
})

describe('ThinPool.create with metadata that is not blank', () => {
  test.each([
    ['garbage in its first block', 0],
    ['a file system at an offset', 64 * KiB + 64],
  ])('rejects %s without changing it, and replaces it only with format overwrite', async (_, offset) => {
    const options = fresh()
    const content = Buffer.alloc(4 * MiB)
    content.write('precious', offset)
    const { file } = options.metadata as { file: string }
    writeFileSync(file, content)
    await refusedPool(options, 'DM_METADATA_NOT_BLANK')
    run('cmp', [file, '-'], content.toString('latin1'))
    const pool = await ThinPool.create({ ...options, format: 'overwrite' })
    expect((await pool.status()).mode).toBe('rw')
    await pool.remove()
    thinCheck(file)
  })

  test('rejects an old pool, and replaces it by an empty one with format overwrite and any block size', async () => {
    const options = fresh()
    const old = await ThinPool.create(options)
    await old.createVolume({ sizeBytes: MiB })
    await old.remove()
    expect((await refusedPool(options, 'DM_METADATA_NOT_BLANK')).message).toContain('thin pool')
    const pool = await ThinPool.create({ ...options, format: 'overwrite', dataBlockBytes: 128 * KiB })
    expect(await pool.volumes()).toEqual([])
    expect(pool.dataBlockBytes).toBe(128 * KiB)
    await pool.remove({ deleteFiles: true })
  })
})

describe('ThinPool.create with devices in use', () => {
  test('rejects the metadata and the data device of a running pool', async () => {
    await withPool(async (_, { dataFile, metadataFile }) => {
      const loop = (file: string) => markedLoops().find(each => each.file === file)!.name
      const spare = fresh()
      await refusedPool({ ...spare, metadata: { device: loop(metadataFile) } }, 'DM_BUSY')
      await refusedPool({ ...spare, data: { device: loop(dataFile) } }, 'DM_BUSY')
    })
  })

  test('rejects a mounted data device', async () => {
    const image = scratch.path('mounted.img')
    const folder = scratch.path('mounted')
    run('truncate', ['-s', '16M', image])
    run('mkfs.ext4', ['-q', image])
    run('mkdir', [folder])
    run('mount', ['-o', 'loop', image, folder])
    const loop = markedLoops()[0]!.name
    await refusedPool(fresh({ data: { device: loop } }), 'DM_BUSY')
    run('umount', [folder])
  })

  test('accepts idle block devices, also mapped devices', async () => {
    await withPool(async outer => {
      const [data, metadata] = await Promise.all(
        [16 * MiB, 4 * MiB].map(async sizeBytes => (await outer.createVolume({ sizeBytes })).activate()),
      )
      const options = fresh({ data: { device: data!.path }, metadata: { device: metadata!.path } })
      const inner = await ThinPool.create(options)
      const volume = await (await inner.createVolume({ sizeBytes: 8 * MiB })).activate()
      await writeAt(volume.path, 0, Buffer.alloc(64 * KiB, 1))
      expect((await inner.status()).data!.usedBlocks).toBe(1)
      expect(await inner.remove({ deactivate: true })).toMatchObject({ loops: [], files: [] })
      thinCheck(metadata!.path)
      await takeDown(inner.name)
    })
  })
})
