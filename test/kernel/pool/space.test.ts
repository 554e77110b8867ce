// Scenario                                                  Test
// K  delete after out of space returns to rw, used 0        deleting a volume makes a full pool rw and …
// K  out of data space: error at once / queue / time-out    a write without …; a writer to …; writers to …
// K  resize after out of space, held I/O; D set_data        a writer to a full pool continues with its …
// K  io to provisioned region during out of data space      mapped blocks can be written while the pool is …
// K  low-water event once, re-armed at resume               the low-water event is raised …
// K  out of metadata space, after_exhaust, delete refused   a pool with full metadata rejects …
// K  grow that the kernel skips silently                    grow.test.ts
// @udev both
import { readFileSync, writeFileSync } from 'node:fs'
import { MiB, type ThinPool, type ThinVolume } from '../../../lib/entry/index.js'
import { nativePort } from '../../../lib/kernel/native-port.js'
import { BLOCK, directWrite, pattern, readAt, seedOf, writeAt, writeBlock } from '../../helpers/kernel/blocks.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { withPool } from '../../helpers/pool/pools.js'
import { inKernel } from '../../helpers/process/in-kernel.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { dmResume, dmStatus, dmSuspend, dmTable } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()
const TIMEOUT = '/sys/module/dm_thin_pool/parameters/no_space_timeout'
const usualTimeout = readFileSync(TIMEOUT, 'utf8')
afterEach(() => writeFileSync(TIMEOUT, usualTimeout))

/** What the kernel says, rightly, of a pool without space and of the writes that it then refuses. */
const NO_SPACE = [/no free data space/, /reached low water mark/, /I\/O error/, /out-of-data-space/]

const SMALL = { dataBytes: 16 * BLOCK }

/** A volume larger than the pool, with all the pool's blocks but `free` in it. */
async function nearlyFull(pool: ThinPool, free = 0): Promise<ThinVolume> {
  const volume = await (await pool.createVolume({ sizeBytes: 4 * MiB })).activate()
  await writeAt(volume.path, 0, pattern(1, (16 - free) * BLOCK))
  return volume
}

const NO_SPACE_LEFT = /No space left on device/

test('a write without a free block fails at once with errorIfNoSpace, and the mode is out_of_data_space', async () => {
  scratch.log.allow(...NO_SPACE)
  await withPool({ ...SMALL, errorIfNoSpace: true }, async (pool, { name }) => {
    const volume = await nearlyFull(pool)
    expect(directWrite(volume.path, 20)).toMatch(NO_SPACE_LEFT)
    const status = await pool.status()
    expect(status).toMatchObject({ mode: 'out_of_data_space', whenFull: 'error_if_no_space', needsCheck: false })
    expect(status.data!.usedBlocks).toBe(status.data!.totalBlocks)
    expect(dmStatus(name)).toContain('16/16 - out_of_data_space discard_passdown error_if_no_space')
    expect(await seedOf(volume.path, 20, [2])).toBe('zero')
  })
})

test('deleting a volume makes a full pool rw and frees its blocks, and volumes can be created while it is full', async () => {
  scratch.log.allow(...NO_SPACE)
  await withPool({ ...SMALL, errorIfNoSpace: true }, async pool => {
    const volume = await nearlyFull(pool)
    expect(directWrite(volume.path, 20)).toMatch(NO_SPACE_LEFT)
    const other = await pool.createVolume({ sizeBytes: MiB })
    await volume.destroy()
    expect(await pool.status()).toMatchObject({ mode: 'rw', data: { usedBlocks: 0 } })
    await other.activate()
    await writeBlock(other.path, 0, 3)
    expect(await seedOf(other.path, 0, [3])).toBe(3)
  })
})

test('mapped blocks can be written while the pool is full', async () => {
  scratch.log.allow(...NO_SPACE)
  await withPool({ ...SMALL, errorIfNoSpace: true }, async pool => {
    const volume = await nearlyFull(pool)
    expect(directWrite(volume.path, 20)).toMatch(NO_SPACE_LEFT)
    await writeBlock(volume.path, 4, 9)
    expect(await seedOf(volume.path, 4, [9])).toBe(9)
    // The same block of a snapshot would need a block of its own.
    const snapshot = await volume.snapshot({ activate: true })
    expect(directWrite(snapshot.path, 4)).toMatch(NO_SPACE_LEFT)
    expect(await seedOf(snapshot.path, 4, [9])).toBe(9)
  })
})

test('a writer to a full pool continues with its content after grow()', async () => {
  scratch.log.allow(...NO_SPACE)
  writeFileSync(TIMEOUT, '0') // queue for ever: only the growing can release the writer
  await withPool(SMALL, async pool => {
    const volume = await nearlyFull(pool)
    let ended = false
    const writing = writeBlock(volume.path, 20, 2).finally(() => (ended = true))
    await untilMode(pool, 'out_of_data_space')
    expect(ended).toBe(false)
    // A write that the resume of the pool meets on its way waits until it fails: docs/space.md.
    while (inKernel() === 0) await new Promise(setImmediate)
    await pool.grow({ dataBytes: 32 * BLOCK })
    await writing
    expect(await pool.status()).toMatchObject({ mode: 'rw', data: { usedBlocks: 17, totalBlocks: 32 } })
    expect(await seedOf(volume.path, 20, [2])).toBe(2)
    expect((await readAt(volume.path, 0, 16 * BLOCK)).equals(pattern(1, 16 * BLOCK))).toBe(true)
  })
})

test('writers to a full pool fail after the timeout, and deleting a volume restores rw and queueing', async () => {
  scratch.log.allow(...NO_SPACE)
  writeFileSync(TIMEOUT, '1')
  await withPool(SMALL, async (pool, { name }) => {
    const volume = await nearlyFull(pool)
    const spare = await pool.createVolume({ sizeBytes: MiB })
    expect(directWrite(volume.path, 20)).toMatch(NO_SPACE_LEFT)
    expect(await pool.status()).toMatchObject({ mode: 'out_of_data_space', whenFull: 'error_if_no_space' })
    expect(dmTable(name)).not.toContain('error_if_no_space')
    await volume.destroy()
    expect(await pool.status()).toMatchObject({ mode: 'rw', whenFull: 'queue_if_no_space' })
    await (await spare.activate()).status()
    await writeBlock(spare.path, 0, 3)
  })
})

test('the low-water event is raised once, one allocation late, and again only after a resume of the pool', async () => {
  scratch.log.allow(...NO_SPACE)
  await withPool({ ...SMALL, lowWaterMarkBlocks: 4 }, async (pool, { name }) => {
    const events = async () => (await nativePort().deviceStatus({ name })).eventNumber
    const volume = await nearlyFull(pool, 6)
    const before = await events()
    await writeBlock(volume.path, 10, 2) // five free afterwards
    await writeBlock(volume.path, 11, 2) // four
    expect(await events()).toBe(before)
    await writeBlock(volume.path, 12, 2)
    expect(await events()).toBe(before + 1)
    await writeBlock(volume.path, 13, 2)
    expect(await events()).toBe(before + 1)
    dmSuspend(name)
    dmResume(name)
    const resumed = await events()
    await writeBlock(volume.path, 14, 2)
    expect(await events()).toBe(resumed + 1)
  })
})

test('a pool with full metadata rejects messages, deletions too, and is rw again after its metadata has grown', async () => {
  scratch.log.allow(
    /device-mapper: .*metadata/,
    /low water mark/,
    /creation of/i,
    /unable to service pool target messages/,
  )
  await withPool({ metadataBytes: 2 * MiB, check: ['--clear-needs-check-flag'] }, async pool => {
    const kept = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    await writeBlock(kept.path, 0, 1)
    let refusal: unknown
    for (let made = 0; made < 1000 && refusal === undefined; made++) {
      await pool.createVolume({ sizeBytes: MiB }).catch((fault: unknown) => void (refusal = fault))
    }
    expect(refusal).toMatchObject({ code: expect.stringMatching(/^DM_POOL_(FULL|READ_ONLY)$/) as string })
    expect((await pool.status()).mode).toBe('ro')
    await expectCode(pool.createVolume({ sizeBytes: MiB }), 'DM_POOL_READ_ONLY')
    await expectCode((await pool.volume(1)).delete(), 'DM_POOL_READ_ONLY')
    await pool.grow({ metadataBytes: 8 * MiB })
    expect(await pool.status()).toMatchObject({ mode: 'rw', metadata: { totalBlocks: 2048 } })
    await (await pool.volume(1)).delete()
    expect(await seedOf(kept.path, 0, [1])).toBe(1)
  })
})

async function untilMode(pool: ThinPool, mode: string): Promise<void> {
  while ((await pool.status()).mode !== mode) await new Promise(resolve => setTimeout(resolve, 20))
}
