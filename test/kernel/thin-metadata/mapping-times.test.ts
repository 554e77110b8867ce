// What bookmarks rest on, and no documentation of the kernel promises: which block a write gets, and which time. The kernel
// compares times alone, and not the number of references.
// @second-kernel
import { BlockDevice, MiB, type ThinPool, type ThinVolume } from '../../../lib/entry/index.js'
import { ThinMetadata } from '../../../lib/entry/metadata.js'
import { BLOCK, writeBlock } from '../../helpers/kernel/blocks.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { withPool } from '../../helpers/pool/pools.js'

useScratch()

/** The data block and the time of each of the first blocks. */
async function mappingsOf(pool: ThinPool, { id }: ThinVolume): Promise<Map<number, { data: number; time: number }>> {
  const metadata = await ThinMetadata.open(pool)
  const found = new Map<number, { data: number; time: number }>()
  for await (const { begin, length, data, time } of metadata.mappings(id)) {
    for (let at = 0; at < length; at++) found.set(begin + at, { data: data + at, time })
  }
  await metadata.close()
  return found
}

async function discard(volume: ThinVolume, block: number): Promise<void> {
  const device = await BlockDevice.open(volume.path)
  await device.discard({ offsetBytes: block * BLOCK, lengthBytes: BLOCK })
  await device.close()
}

/** A volume whose blocks 0 to 3 are mapped at time 0, and whose snapshot, made at time 1, is deleted. */
async function afterDeletedSnapshot(
  body: (pool: ThinPool, volume: ThinVolume, before: Map<number, { data: number; time: number }>) => Promise<void>,
): Promise<void> {
  await withPool(async pool => {
    const volume = await (await pool.createVolume({ sizeBytes: 8 * MiB })).activate()
    for (const block of [0, 1, 2, 3]) await writeBlock(volume.path, block, 1)
    const before = await mappingsOf(pool, volume)
    expect([...before.values()].map(({ time }) => time)).toEqual([0, 0, 0, 0])
    await (await volume.snapshot()).delete()
    expect(await mappingsOf(pool, volume)).toEqual(before)
    await body(pool, volume, before)
  })
}

test('the first write to a block after a snapshot gets a new block and the present time, also if the snapshot is deleted', () =>
  afterDeletedSnapshot(async (pool, volume, before) => {
    await writeBlock(volume.path, 0, 2)
    await volume.deactivate()
    await volume.activate()
    await writeBlock(volume.path, 1, 2)
    const after = await mappingsOf(pool, volume)
    const old = [...before.values()].map(({ data }) => data)
    for (const block of [0, 1]) {
      expect(after.get(block)!.time).toBe(1)
      expect(old).not.toContain(after.get(block)!.data)
    }
    for (const block of [2, 3]) expect(after.get(block)).toEqual(before.get(block))
    // A further write is in place.
    await writeBlock(volume.path, 0, 3)
    expect(await mappingsOf(pool, volume)).toEqual(after)
  }))

test('a block that is discarded and written again gets the present time, whichever data block it gets', () =>
  afterDeletedSnapshot(async (pool, volume) => {
    await discard(volume, 2)
    expect((await mappingsOf(pool, volume)).has(2)).toBe(false)
    await writeBlock(volume.path, 2, 2)
    await writeBlock(volume.path, 9, 2)
    const after = await mappingsOf(pool, volume)
    expect([after.get(2)!.time, after.get(9)!.time]).toEqual([1, 1])
  }))

test('the time rises with each snapshot of any volume, and never falls when volumes are deleted', () =>
  afterDeletedSnapshot(async (pool, volume) => {
    const other = await (await pool.createVolume({ sizeBytes: 8 * MiB })).activate()
    await (await other.snapshot()).delete()
    await writeBlock(other.path, 0, 2)
    await other.destroy()
    await writeBlock(volume.path, 5, 2)
    const after = await mappingsOf(pool, volume)
    expect(after.get(5)!.time).toBe(2)
  }))

test('a snapshot that is written gets new blocks too, and leaves those of its origin', () =>
  afterDeletedSnapshot(async (pool, volume, before) => {
    const snapshot = await volume.snapshot({ activate: true })
    await writeBlock(snapshot.path, 3, 2)
    expect(await mappingsOf(pool, volume)).toEqual(before)
    const own = (await mappingsOf(pool, snapshot)).get(3)!
    expect(own.time).toBe(2)
    expect([...before.values()].map(({ data }) => data)).not.toContain(own.data)
  }))
