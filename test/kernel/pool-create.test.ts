// Scenario                                                  Test
// D  thinpooldev basic                                      the smallest pool …
// C  CreatePool (text of the table)                         exactly the table …
// D  target_params_zero, target_params_none                 every feature …; no feature …
// D  low_data_block_size; K 57 off, 64, 2^21+1 fail         block sizes that the kernel has not …
// K  2^21 works, huge block                                 the largest block size …
// K  too small metadata (16 KiB)                            sizes that cannot be …
// A  long names cut (defect)                                a name of 127 bytes … whole; bad names …
// D  thin id made before the name is checked (defect)       a taken name …
// bad input: file too small, without holes, vanished,       the tests below `files`
//   attached elsewhere; metadata not blank, garbage
import { existsSync, statSync, writeFileSync } from 'node:fs'
import { truncate } from 'node:fs/promises'
import { type CreatePoolOptions, GiB, KiB, MiB, ThinPool } from '../../lib/index.js'
import { writeAt } from '../helpers/blocks.js'
import { expectCode } from '../helpers/expect-code.js'
import { markedDevices, markedLoops, snapshotKernelState } from '../helpers/kernel-state.js'
import { takeDown, withPool } from '../helpers/pools.js'
import { useScratch } from '../helpers/scratch.js'
import { run } from '../helpers/spawned.js'
import { dmCreate, dmRemove, dmStatus, dmTable, thinCheck } from '../helpers/witness.js'

const scratch = useScratch()
let files = 0

/** Options for a pool over files that do not exist yet. */
function fresh(changes: Partial<CreatePoolOptions> = {}): CreatePoolOptions & { data: { file: string } } {
  files += 1
  const options = {
    name: scratch.name('pool'),
    data: { file: scratch.path(`data-${files}`), sizeBytes: 64 * MiB },
    metadata: { file: scratch.path(`metadata-${files}`), sizeBytes: 4 * MiB },
  }
  return { ...options, ...changes } as CreatePoolOptions & { data: { file: string } }
}

/** Expects the refusal, and the kernel and the files to be as they were. */
async function refused(options: CreatePoolOptions, code: Parameters<typeof expectCode>[1]) {
  const sources = [options.data, options.metadata].flatMap(source => ('file' in source ? [source.file] : []))
  const sizes = () => sources.map(file => (existsSync(file) ? statSync(file).size : undefined))
  const before = { state: snapshotKernelState(), sizes: sizes() }
  const fault = await expectCode(ThinPool.create(options), code)
  expect({ state: snapshotKernelState(), sizes: sizes() }).toEqual(before)
  return fault
}

test('the smallest pool is writable, empty, and as large as dmsetup says', async () => {
  await withPool({ dataBytes: 64 * KiB, metadataBytes: 2 * MiB }, async (pool, { name }) => {
    const status = await pool.status()
    expect(status).toMatchObject({
      mode: 'rw',
      data: { usedBlocks: 0, totalBlocks: 1, blockBytes: 64 * KiB },
      heldMetadataRoot: null,
      transactionId: 0n,
      needsCheck: false,
      whenFull: 'queue_if_no_space',
    })
    const { usedBlocks, totalBlocks } = status.metadata
    expect(dmStatus(name)).toContain(`thin-pool 0 ${usedBlocks}/${totalBlocks} 0/1 - rw discard_passdown`)
    expect(await pool.volumes()).toEqual([])
  })
})

test('exactly the table 0 20971522 thin-pool … 128 65536 1 skip_block_zeroing, over sparse files', async () => {
  const options = {
    dataBytes: 10 * GiB + KiB,
    metadataBytes: GiB,
    lowWaterMarkBlocks: 65536,
    skipBlockZeroing: true,
  }
  await withPool(options, async (pool, { name, dataFile, metadataFile }) => {
    const loops = new Map(markedLoops().map(loop => [loop.file, loop.name.replace('/dev/loop', '7:')]))
    const devices = `${loops.get(metadataFile)} ${loops.get(dataFile)}`
    expect(dmTable(name)).toBe(`0 20971522 thin-pool ${devices} 128 65536 1 skip_block_zeroing`)
    expect((await pool.status()).data.totalBlocks).toBe(163840)
    expect(statSync(dataFile)).toMatchObject({ size: 10 * GiB + KiB, blocks: 0 })
    expect(statSync(metadataFile).blocks * 512).toBeLessThan(MiB)
  })
})

test('no feature is none in the table', async () => {
  await withPool(async (_, { name }) => expect(dmTable(name)).toMatch(/^0 131072 thin-pool 7:\d+ 7:\d+ 128 0 0$/))
})

test('every feature reaches the kernel in a fixed order, and ignore_discard is understood coming back', async () => {
  const features = { skipBlockZeroing: true, ignoreDiscard: true, noDiscardPassdown: true, errorIfNoSpace: true }
  await withPool(features, async (pool, { name, reopen }) => {
    expect(dmTable(name)).toMatch(/ 4 skip_block_zeroing ignore_discard no_discard_passdown error_if_no_space$/)
    expect(await pool.status()).toMatchObject({ discard: 'ignore_discard', whenFull: 'error_if_no_space' })
    await (await ThinPool.open({ ...reopen, ...features })).close()
  })
})

test('the largest block size, 1 GiB, holds data', async () => {
  const options = { dataBytes: 2 * GiB, dataBlockBytes: GiB, skipBlockZeroing: true }
  await withPool(options, async (pool, { name }) => {
    expect(dmTable(name)).toContain(' 2097152 0 1 ')
    const volume = await (await pool.createVolume({ sizeBytes: GiB })).activate()
    await writeAt(volume.path, 4 * KiB, Buffer.alloc(4 * KiB, 7))
    expect((await pool.status()).data.usedBlocks).toBe(1)
    expect(dmStatus(volume.name)).toBe('0 2097152 thin 2097152 2097151')
    expect(await volume.status()).toMatchObject({ mappedBytes: GiB, highestMappedByte: GiB - 1 })
  })
})

test.each([64 * 512, (128 + 57) * 512, GiB + 512, GiB + 64 * KiB, 0, -65536, 65536.5, Number.NaN])(
  'block size %d, which the kernel has not, is refused before it is asked',
  async dataBlockBytes => {
    const fault = await refused(fresh({ dataBlockBytes }), 'DM_INVALID_ARGUMENT')
    expect(fault.message).toContain('dataBlockBytes')
  },
)

test('a name of 127 bytes reaches the kernel whole; 128 are refused and not cut', async () => {
  const name = scratch.name('long').padEnd(127, 'x')
  await refused(fresh({ name: `${name}x` }), 'DM_INVALID_ARGUMENT')
  const pool = await ThinPool.create(fresh({ name }))
  expect(markedDevices().map(device => device.name)).toEqual([name])
  await pool.remove()
})

test.each(['', 'dmthintest-a/b', '.', '..', 'control', 'dmthintest a', 'dmthintest-ü', 'dmthintest-\0', 7, undefined])(
  'the name %p is refused',
  async name => {
    const fault = await refused(fresh({ name: name as string }), 'DM_INVALID_ARGUMENT')
    expect(fault.message).toContain('name')
  },
)

test('a taken name is refused before a file is made or attached', async () => {
  const options = fresh()
  dmCreate(options.name, '0 8 zero')
  const fault = await refused(options, 'DM_NAME_TAKEN')
  expect(fault.device).toBe(options.name)
  dmRemove(options.name)
  await withPool(async (_, { name }) => void (await refused(fresh({ name }), 'DM_NAME_TAKEN')))
})

test('an unknown option is refused by its name', async () => {
  const misspelt = { ...fresh(), skipBlockZeroeing: true } as CreatePoolOptions
  expect((await refused(misspelt, 'DM_INVALID_ARGUMENT')).message).toContain('skipBlockZeroeing')
})

describe('sizes that cannot be', () => {
  test.each<[string, number, number]>([
    ['data of nothing', 0, 4 * MiB],
    ['data of part of a sector', 64 * MiB + 1, 4 * MiB],
    ['data less than one block', 32 * KiB, 4 * MiB],
    ['metadata of 16 KiB', 64 * MiB, 16 * KiB],
    ['metadata of more than the kernel uses', 64 * MiB, 16 * GiB],
    ['a size that is no whole number', 64 * MiB + 0.5, 4 * MiB],
  ])('%s', async (_, dataBytes, metadataBytes) => {
    const options = fresh()
    const data = { file: options.data.file, sizeBytes: dataBytes }
    const metadata = { ...options.metadata, sizeBytes: metadataBytes }
    await refused({ ...options, data, metadata }, 'DM_INVALID_ARGUMENT')
  })
})

describe('files', () => {
  test('an existing file of the size asked for is used, another size is refused and kept', async () => {
    const options = fresh()
    writeFileSync(options.data.file, '')
    await truncate(options.data.file, 32 * MiB)
    await refused(options, 'DM_FILE_SIZE')
    const pool = await ThinPool.create({ ...options, data: { file: options.data.file, sizeBytes: 32 * MiB } })
    expect((await pool.status()).data.totalBlocks).toBe(512)
    await pool.remove()
  })

  test('a file that is too small for metadata is refused', async () => {
    const options = fresh()
    const file = scratch.path('small')
    writeFileSync(file, Buffer.alloc(MiB))
    const fault = await refused({ ...options, metadata: { file } }, 'DM_INVALID_ARGUMENT')
    expect(fault.message).toContain('1048576')
    expect(fault.rollback.map(step => [step.operation, step.errno])).toEqual([
      ['LOOP_CLR_FD', 0],
      ['LOOP_CLR_FD', 0],
      ['unlink', 0],
    ])
  })

  test('a file that has vanished is named', async () => {
    const options = fresh()
    const fault = await refused({ ...options, data: { file: scratch.path('gone') } }, 'DM_FILE_MISSING')
    expect(fault.message).toContain('gone')
    await refused({ ...options, data: { device: '/dev/dmthintest-none' } }, 'DM_FILE_MISSING')
    const folder = scratch.path('no-folder/data')
    await refused({ ...options, data: { file: folder, sizeBytes: MiB } }, 'DM_FILE_MISSING')
  })

  test('what is neither a file nor a block device is refused', async () => {
    const options = fresh()
    await refused({ ...options, data: { file: '/dev/null' } }, 'DM_INVALID_ARGUMENT')
    await refused({ ...options, data: { device: '/dev/null' } }, 'DM_INVALID_ARGUMENT')
    await refused({ ...options, data: { device: scratch.path('.') } }, 'DM_INVALID_ARGUMENT')
  })

  test('a file system without holes is refused instead of being filled with zeros', async () => {
    const image = scratch.path('vfat.img')
    const folder = scratch.path('vfat')
    run('truncate', ['-s', '32M', image])
    run('mkfs.vfat', [image])
    run('mkdir', [folder])
    run('mount', ['-o', 'loop', '-t', 'vfat', image, folder])
    const options = fresh({ data: { file: `${folder}/data`, sizeBytes: 16 * MiB } })
    const fault = await refused(options, 'DM_FILE_NO_HOLES')
    expect(fault.rollback).toEqual([{ operation: 'unlink', device: `${folder}/data`, errno: 0 }])
    run('umount', [folder])
  })

  test('a file that is attached elsewhere is refused, and stays attached there', async () => {
    const options = fresh()
    run('truncate', ['-s', '64M', options.data.file])
    const loop = run('losetup', ['--find', '--show', options.data.file]).trim()
    const fault = await refused(options, 'DM_FILE_ATTACHED')
    expect(fault.detail).toBe(loop)
    run('losetup', ['--detach', loop])
  })

  test('one file for data and metadata is refused', async () => {
    const options = fresh()
    const same = { file: options.data.file, sizeBytes: 16 * MiB }
    await refused({ ...options, data: same, metadata: same }, 'DM_FILE_ATTACHED')
  })
})

describe('metadata that is not blank', () => {
  test.each([
    ['garbage in its first block', 0],
    ['a file system further in', 64 * KiB + 64],
  ])('%s is refused untouched, and given up only with overwrite', async (_, offset) => {
    const options = fresh()
    const content = Buffer.alloc(4 * MiB)
    content.write('precious', offset)
    const { file } = options.metadata as { file: string }
    writeFileSync(file, content)
    await refused(options, 'DM_METADATA_NOT_BLANK')
    run('cmp', [file, '-'], content.toString('latin1'))
    const pool = await ThinPool.create({ ...options, format: 'overwrite' })
    expect((await pool.status()).mode).toBe('rw')
    await pool.remove()
    thinCheck(file)
  })

  test('an old pool is refused; overwrite makes an empty one, also with another block size', async () => {
    const options = fresh()
    const old = await ThinPool.create(options)
    await old.createVolume({ sizeBytes: MiB })
    await old.remove()
    expect((await refused(options, 'DM_METADATA_NOT_BLANK')).message).toContain('thin pool')
    const pool = await ThinPool.create({ ...options, format: 'overwrite', dataBlockBytes: 128 * KiB })
    expect(await pool.volumes()).toEqual([])
    expect(pool.dataBlockBytes).toBe(128 * KiB)
    await pool.remove({ deleteFiles: true })
  })
})

describe('devices in use', () => {
  test('a pool over the devices of a running pool is refused: neither its metadata nor its data', async () => {
    await withPool(async (_, { dataFile, metadataFile }) => {
      const loop = (file: string) => markedLoops().find(each => each.file === file)!.name
      const spare = fresh()
      await refused({ ...spare, metadata: { device: loop(metadataFile) } }, 'DM_BUSY')
      await refused({ ...spare, data: { device: loop(dataFile) } }, 'DM_BUSY')
    })
  })

  test('a mounted data device is refused', async () => {
    const image = scratch.path('mounted.img')
    const folder = scratch.path('mounted')
    run('truncate', ['-s', '16M', image])
    run('mkfs.ext4', ['-q', image])
    run('mkdir', [folder])
    run('mount', ['-o', 'loop', image, folder])
    const loop = markedLoops()[0]!.name
    await refused(fresh({ data: { device: loop } }), 'DM_BUSY')
    run('umount', [folder])
  })

  test('block devices, also mapped ones, can be data and metadata', async () => {
    await withPool(async outer => {
      const [data, metadata] = await Promise.all(
        [16 * MiB, 4 * MiB].map(async sizeBytes => (await outer.createVolume({ sizeBytes })).activate()),
      )
      const options = fresh({ data: { device: data!.path }, metadata: { device: metadata!.path } })
      const inner = await ThinPool.create(options)
      const volume = await (await inner.createVolume({ sizeBytes: 8 * MiB })).activate()
      await writeAt(volume.path, 0, Buffer.alloc(64 * KiB, 1))
      expect((await inner.status()).data.usedBlocks).toBe(1)
      expect(await inner.remove({ deactivate: true })).toMatchObject({ loops: [], files: [] })
      thinCheck(metadata!.path)
      await takeDown(inner.name)
    })
  })
})
