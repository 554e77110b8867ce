// Scenario                                                  Test
// D  status_noflush; pool status never commits              status() does not commit: the …
// D  thinpooldev status fields; M first numbers only        status() returns every field …
// D  ignore_discard is rejected (defect)                    pool-create.test.ts
// D/M  `-` in status lines (defects)                        volume.test.ts; status() returns every field …
// K  thin_ls live == offline                                snapshot-data.test.ts
// stale page cache of live metadata                         volumes() lists every change at once …
// C  WalkDevices, GetDeviceNames                            volumes() lists every change at …
import { KiB, MiB, ThinPool } from '../../../lib/entry/index.js'
import { nativePort } from '../../../lib/kernel/native-port.js'
import { TABLE_FLAG } from '../../../lib/kernel/port/device-port.js'
import { BLOCK, directWrite, pattern, writeAt } from '../../helpers/kernel/blocks.js'
import { markedLoops } from '../../helpers/kernel/kernel-state.js'
import { withPool } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { dmMessage, dmStatus, thinUsageBy } from '../../helpers/kernel/dmsetup.js'

useScratch()
const port = nativePort()

test('status() does not commit: the superblock stays unchanged until another call commits', async () => {
  await withPool(async (pool, { name, metadataFile }) => {
    const device = markedLoops().find(loop => loop.file === metadataFile)!.name
    const superblock = async () => Buffer.from((await port.readBlocks(device, [0], 4096, false))[0]!)
    const volume = await (await pool.createVolume({ sizeBytes: 16 * MiB })).activate()
    // A write without a flush: the mapping is made and not committed. The kernel commits by itself each second, so
    // the round is repeated until no such commit fell into it.
    for (let round = 0; ; round++) {
      expect(directWrite(volume.path, round)).toBe('')
      const before = await superblock()
      const [status] = [await pool.status(), await volume.status(), await pool.statusMany([volume])]
      const after = await superblock()
      // Without NOFLUSH the same question commits: only then was there something to commit all the while.
      await port.tableStatus({ name }, 0)
      const committed = await superblock()
      expect(status.data!.usedBlocks).toBe(round + 1)
      if (before.equals(after) && !after.equals(committed)) break
      if (round === 100) throw new Error('100 rounds, and in each of them the pool was committed during status()')
    }
  })
})

test('status() returns every field of the line that dmsetup prints', async () => {
  await withPool({ lowWaterMarkBlocks: 17, noDiscardPassdown: true }, async (pool, { name }) => {
    dmMessage(name, 'set_transaction_id 0 12345')
    dmMessage(name, 'reserve_metadata_snap')
    const volume = await (await pool.createVolume({ sizeBytes: 16 * MiB })).activate()
    await writeAt(volume.path, 0, pattern(1, 3 * BLOCK))
    const status = await pool.status()
    const { metadata, data } = status
    expect(status).toMatchObject({
      mode: 'rw',
      transactionId: 12345n,
      lowWaterMark: { blocks: 17, bytes: 17 * BLOCK },
      discard: 'no_discard_passdown',
      whenFull: 'queue_if_no_space',
      needsCheck: false,
    })
    expect(data).toEqual({
      usedBlocks: 3,
      totalBlocks: 1024,
      blockBytes: 64 * KiB,
      usedBytes: 3 * BLOCK,
      totalBytes: 64 * MiB,
    })
    const words = [
      12345,
      `${metadata!.usedBlocks}/${metadata!.totalBlocks}`,
      `${data!.usedBlocks}/${data!.totalBlocks}`,
      status.heldMetadataRoot,
      'rw no_discard_passdown queue_if_no_space -',
      metadata!.lowWaterMarkBlocks,
    ]
    expect(dmStatus(name)).toBe(`0 131072 thin-pool ${words.join(' ')}`)
    dmMessage(name, 'release_metadata_snap')
    expect((await pool.status()).heldMetadataRoot).toBeNull()
  })
})

test('status() reads a running pool of another program, with its blanks and features', async () => {
  await withPool({ errorIfNoSpace: true, skipBlockZeroing: true }, async (_, { name }) => {
    const [line] = await port.tableStatus({ name }, TABLE_FLAG.table | TABLE_FLAG.noflush)
    expect(line!.parameters).toMatch(/ 128 0 2 skip_block_zeroing error_if_no_space $/)
    const pool = await ThinPool.open(name)
    expect(await pool.status()).toMatchObject({ whenFull: 'error_if_no_space', lowWaterMark: { blocks: 0 } })
  })
})

test('volumes() lists every change at once, after any number of earlier calls', async () => {
  await withPool(async (pool, { name, metadataFile }) => {
    const expected: number[] = []
    for (const id of [5, 1, 9, 3]) {
      await pool.createVolume({ sizeBytes: MiB, id })
      expected.push(id)
      expect((await pool.volumes()).map(volume => volume.id)).toEqual([...expected].sort((a, b) => a - b))
    }
    dmMessage(name, 'delete 5')
    expect((await pool.volumes()).map(volume => volume.id)).toEqual([1, 3, 9])
    dmMessage(name, 'create_snap 2 9')
    const usage = await pool.usage()
    expect(usage.map(({ id }) => id)).toEqual([1, 2, 3, 9])
    await pool.remove()
    expect(thinUsageBy(metadataFile)).toEqual(usage)
  })
})

test('usage() and volumes() succeed while the pool is written and snapshotted', async () => {
  await withPool({ metadataBytes: 8 * MiB }, async pool => {
    const volume = await (await pool.createVolume({ sizeBytes: 32 * MiB })).activate()
    const writing = (async () => {
      for (let round = 0; round < 8; round++) {
        await writeAt(volume.path, round * MiB, pattern(round, MiB))
        await volume.snapshot()
      }
    })()
    let reading = true
    void writing.finally(() => (reading = false)).catch(() => {})
    let read = 0
    do {
      const outcome = await pool.usage().catch((fault: { code: string }) => fault.code)
      // Busy is an honest answer when commits come faster than the reading; half-read numbers would not be.
      if (typeof outcome === 'string') expect(outcome).toBe('DM_METADATA_BUSY')
      else for (const each of outcome) expect(each.exclusiveBlocks + each.sharedBlocks).toBe(each.mappedBlocks)
      read += 1
    } while (reading)
    await writing
    expect(read).toBeGreaterThan(0)
    const usage = await pool.usage()
    expect(usage.map(each => each.mappedBlocks)).toEqual([128, 16, 32, 48, 64, 80, 96, 112, 128])
  })
})
