// Scenario                                                  Test
// K  huge-block-size, largest-block-size-succeeds           block sizes that the kernel supports …
// K  non-power-of-2 (57 off), too-small, too-large fail     invalid block sizes are rejected by the …
// K  too-small-a-metadata-dev-fails                         metadata that is too small is rejected …
import { truncateSync, writeFileSync } from 'node:fs'
import { GiB, KiB, MiB, SECTOR_BYTES } from '../../lib/entry/index.js'
import { generic, MappedDevice } from '../../lib/entry/kernel.js'
import { pattern, readAt, writeAt } from '../helpers/kernel/blocks.js'
import { expectCode } from '../helpers/errors/expect-code.js'
import { freshPool, refusedPool } from '../helpers/pool/fresh-pool.js'
import { snapshotKernelState } from '../helpers/kernel/kernel-state.js'
import { range } from '../helpers/long/report.js'
import { withLoops, withPool } from '../helpers/pool/pools.js'
import { useScratch } from '../helpers/kernel/scratch.js'
import { dmStatus, dmTable } from '../helpers/kernel/dmsetup.js'

const scratch = useScratch()
/** In sectors: the smallest and the largest, and between them powers of two and what is none. */
const GOOD = [...range(17).slice(1), 24, 57, 100, 1023, 1024, 1025, 8191, 16383, 16384].map(units => units * 128)
const UNITS = 2 ** 14

test('block sizes that the kernel supports, powers of two or not, hold data, and a snapshot copies one block', async () => {
  expect(GOOD.at(-1)).toBe(UNITS * 128)
  for (const sectors of GOOD) {
    const blockBytes = sectors * SECTOR_BYTES
    const options = { dataBlockBytes: blockBytes, dataBytes: 4 * blockBytes, skipBlockZeroing: true }
    // The copy of a block of 1 GiB is real: beyond 16 MiB only the block that is there is written again.
    const copies = blockBytes <= 16 * MiB
    await withPool(options, async (pool, { name }) => {
      expect([sectors, dmTable(name).split(' ')[5]]).toEqual([sectors, `${sectors}`])
      const volume = await (await pool.createVolume({ sizeBytes: 2 * blockBytes })).activate()
      const edge = blockBytes - 4 * KiB
      await writeAt(volume.path, edge, pattern(sectors, 8 * KiB)) // the end of one block and the start of the next
      expect((await readAt(volume.path, edge, 8 * KiB)).equals(pattern(sectors, 8 * KiB))).toBe(true)
      expect(dmStatus(volume.name)).toBe(`0 ${2 * sectors} thin ${2 * sectors} ${2 * sectors - 1}`)
      if (copies) {
        const snapshot = await volume.snapshot({ activate: true })
        await writeAt(snapshot.path, 0, pattern(1, 4 * KiB))
        expect((await readAt(snapshot.path, edge, 8 * KiB)).equals(pattern(sectors, 8 * KiB))).toBe(true)
      }
      expect([sectors, (await pool.status()).data!.usedBlocks]).toEqual([sectors, copies ? 3 : 2])
    })
  }
})

test('invalid block sizes are rejected by the library before it calls the kernel, and by the kernel itself', async () => {
  scratch.log.allow(/device-mapper: (table|ioctl|thin): /)
  const around = [1, 64, 57, 127].flatMap(off => [128, 256, 1024, 2 ** 20].map(size => size + off))
  const bad = [1, 64, 127, ...around, 2 ** 21 - 64, 2 ** 21 + 1, 2 ** 21 + 128, 2 ** 22]
  for (const sectors of bad) {
    await refusedPool(freshPool(scratch, { dataBlockBytes: sectors * SECTOR_BYTES }), 'DM_INVALID_ARGUMENT')
  }
  const files = ['metadata', 'data'].map(name => scratch.path(name))
  for (const file of files) {
    writeFileSync(file, '')
    truncateSync(file, 8 * MiB)
  }
  await withLoops(files, async ([metadata, data]) => {
    const before = await snapshotKernelState()
    for (const sectors of [0, ...bad]) {
      const parameters = `${metadata} ${data} ${sectors} 0`
      const table = [generic({ lengthSectors: 16384, type: 'thin-pool', parameters })]
      const fault = await expectCode(MappedDevice.create({ name: scratch.name('bad'), table }), 'DM_TABLE_REFUSED')
      expect([sectors, fault.errno, fault.kernelReason]).toEqual([
        sectors,
        22,
        expect.stringContaining('Invalid block size') as string,
      ])
    }
    expect(await snapshotKernelState()).toBe(before)
  })
})

test('metadata that is too small is rejected by the library, and 16 KiB also by the kernel', async () => {
  scratch.log.allow(/device-mapper: /)
  for (const sizeBytes of [SECTOR_BYTES, 16 * KiB, MiB, 2 * MiB - SECTOR_BYTES]) {
    const metadata = { file: scratch.path(`small-${sizeBytes}`), sizeBytes }
    await refusedPool(freshPool(scratch, { metadata }), 'DM_INVALID_ARGUMENT')
  }
  const files = ['little', 'much'].map(name => scratch.path(name))
  for (const [at, bytes] of [16 * KiB, GiB].entries()) {
    writeFileSync(files[at]!, '')
    truncateSync(files[at]!, bytes)
  }
  await withLoops(files, async ([metadata, data]) => {
    const before = await snapshotKernelState()
    const table = [generic({ lengthSectors: 16384, type: 'thin-pool', parameters: `${metadata} ${data} 128 0` })]
    await expectCode(MappedDevice.create({ name: scratch.name('small'), table }), 'DM_TABLE_REFUSED')
    expect(await snapshotKernelState()).toBe(before)
  })
})
