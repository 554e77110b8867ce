// Scenario                                                  Test
// D  thinpooldev basic                                      the smallest pool is writable …
// C  CreatePool (text of the table)                         a pool over sparse files has …
// D  target_params_zero, target_params_none                 a pool with every feature …; a pool without features has …
// D  low_data_block_size; K 57 off, 64, 2^21+1 fail         block sizes that the kernel does not support …
// K  2^21 works, huge block                                 a pool with the largest block …
// K  too small metadata (16 KiB)                            invalid sizes are rejected
// A  long names cut (defect)                                a name of 127 bytes …; names that are empty …
// D  thin id made before the name is checked (defect)       a name that exists is …
// bad input about files, devices and old metadata           pool-backing.test.ts
// @udev both
import { statSync } from 'node:fs'
import { type CreatePoolOptions, GiB, KiB, MiB, ThinPool } from '../../../lib/entry/index.js'
import { writeAt } from '../../helpers/kernel/blocks.js'
import { freshPool, refusedPool } from '../../helpers/pool/fresh-pool.js'
import { markedDevices, markedLoops } from '../../helpers/kernel/kernel-state.js'
import { withPool } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { dmCreate, dmRemove, dmStatus, dmTable } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()
const fresh = (changes: Partial<CreatePoolOptions> = {}) => freshPool(scratch, changes)

test('the smallest pool is writable and empty, and has the size that dmsetup reports', async () => {
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
    const { usedBlocks, totalBlocks } = status.metadata!
    expect(dmStatus(name)).toContain(`thin-pool 0 ${usedBlocks}/${totalBlocks} 0/1 - rw discard_passdown`)
    expect(await pool.volumes()).toEqual([])
  })
})

test('a pool over sparse files has exactly the table 0 20971522 thin-pool … 128 65536 1 skip_block_zeroing', async () => {
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
    expect((await pool.status()).data!.totalBlocks).toBe(163840)
    expect(statSync(dataFile)).toMatchObject({ size: 10 * GiB + KiB, blocks: 0 })
    expect(statSync(metadataFile).blocks * 512).toBeLessThan(MiB)
  })
})

test('a pool without features has none in its table', async () => {
  await withPool(async (_, { name }) => expect(dmTable(name)).toMatch(/^0 131072 thin-pool 7:\d+ 7:\d+ 128 0 0$/))
})

test('a pool with every feature has them in a fixed order, and reports ignore_discard in its status', async () => {
  const features = { skipBlockZeroing: true, ignoreDiscard: true, noDiscardPassdown: true, errorIfNoSpace: true }
  await withPool(features, async (pool, { name, reopen }) => {
    expect(dmTable(name)).toMatch(/ 4 skip_block_zeroing ignore_discard no_discard_passdown error_if_no_space$/)
    expect(await pool.status()).toMatchObject({ discard: 'ignore_discard', whenFull: 'error_if_no_space' })
    await (await ThinPool.open({ ...reopen, ...features })).close()
  })
})

test('a pool with the largest block size, 1 GiB, stores data', async () => {
  const options = { dataBytes: 2 * GiB, dataBlockBytes: GiB, skipBlockZeroing: true }
  await withPool(options, async (pool, { name }) => {
    expect(dmTable(name)).toContain(' 2097152 0 1 ')
    const volume = await (await pool.createVolume({ sizeBytes: GiB })).activate()
    await writeAt(volume.path, 4 * KiB, Buffer.alloc(4 * KiB, 7))
    expect((await pool.status()).data!.usedBlocks).toBe(1)
    expect(dmStatus(volume.name)).toBe('0 2097152 thin 2097152 2097151')
    expect(await volume.status()).toMatchObject({ mappedBytes: GiB, highestMappedByte: GiB - 1 })
  })
})

test('block sizes that the kernel does not support are rejected before the kernel is called', async () => {
  for (const blocks of [64 * 512, (128 + 57) * 512, GiB + 512, GiB + 64 * KiB, 0, -65536, 65536.5, Number.NaN]) {
    const fault = await refusedPool(fresh({ dataBlockBytes: blocks }), 'DM_INVALID_ARGUMENT')
    expect(fault.message).toContain('dataBlockBytes')
  }
})

test('a name of 127 bytes reaches the kernel unchanged, and one of 128 bytes is rejected and not truncated', async () => {
  const name = scratch.name('long').padEnd(127, 'x')
  await refusedPool(fresh({ name: `${name}x` }), 'DM_INVALID_ARGUMENT')
  const pool = await ThinPool.create(fresh({ name }))
  expect(markedDevices().map(device => device.name)).toEqual([name])
  await pool.remove()
})

test('names that are empty, reserved, have a slash, or that udev would mangle are rejected', async () => {
  const bad = [
    '',
    'dmthintest-a/b',
    '.',
    '..',
    'control',
    'dmthintest a',
    'dmthintest-ü',
    'dmthintest-\0',
    7,
    undefined,
  ]
  for (const name of bad) {
    const fault = await refusedPool(fresh({ name: name as string }), 'DM_INVALID_ARGUMENT')
    expect(fault.message).toContain('name')
  }
})

test('a name that exists is rejected before a file is created or attached', async () => {
  const options = fresh()
  dmCreate(options.name, '0 8 zero')
  const fault = await refusedPool(options, 'DM_NAME_TAKEN')
  expect(fault.device).toBe(options.name)
  dmRemove(options.name)
  await withPool(async (_, { name }) => void (await refusedPool(fresh({ name }), 'DM_NAME_TAKEN')))
})

test('an unknown option is rejected by its name', async () => {
  const misspelt = { ...fresh(), skipBlockZeroeing: true } as CreatePoolOptions
  expect((await refusedPool(misspelt, 'DM_INVALID_ARGUMENT')).message).toContain('skipBlockZeroeing')
})

test('invalid sizes are rejected', async () => {
  const sizes: [string, number, number][] = [
    ['data of nothing', 0, 4 * MiB],
    ['data of part of a sector', 64 * MiB + 1, 4 * MiB],
    ['data less than one block', 32 * KiB, 4 * MiB],
    ['metadata of 16 KiB', 64 * MiB, 16 * KiB],
    ['metadata of more than the kernel uses', 64 * MiB, 16 * GiB],
    ['a size that is not a whole number', 64 * MiB + 0.5, 4 * MiB],
  ]
  for (const [what, dataBytes, metadataBytes] of sizes) {
    const options = fresh()
    const data = { file: options.data.file, sizeBytes: dataBytes }
    const metadata = { ...options.metadata, sizeBytes: metadataBytes }
    const { code } = await refusedPool({ ...options, data, metadata }, 'DM_INVALID_ARGUMENT')
    expect([what, code]).toEqual([what, 'DM_INVALID_ARGUMENT'])
  }
})
