// Scenario                                                   Test
// D  cachedev minimal                                        a cache with %j counts its hits and …
// D  cachedev: meta, cache, origin size change; suspend      a cache keeps its content …
// the kernel's lines of cache, writecache and era            each test, by roundTrip()
import { MiB } from '../../../lib/entry/index.js'
import { cache, era, linear, MappedDevice, writecache } from '../../../lib/entry/kernel.js'
import { pattern, readAt, writeAt } from '../../helpers/kernel/blocks.js'
import { readBelow, roundTrip, withDevices } from '../../helpers/target/round-trip.js'
import { useScratch } from '../../helpers/kernel/scratch.js'

const scratch = useScratch()

test.each([
  [{ mode: 'writethrough' as const }, { mode: 'writethrough' }],
  [
    { metadata2: true, mode: 'writeback' as const, noDiscardPassdown: true },
    { metadata2: true, mode: 'writeback' },
  ],
])('a cache with %j counts its hits and reports its features', async (features, told) => {
  await withDevices(scratch, [4 * MiB, 4 * MiB, 8 * MiB], async ([metadataDevice, cacheDevice, originDevice]) => {
    const table = {
      lengthSectors: 16384,
      metadataDevice: metadataDevice!,
      cacheDevice: cacheDevice!,
      originDevice: originDevice!,
      blockSectors: 128,
      policy: 'smq',
      policyArguments: { migration_threshold: '4096' },
      ...features,
    }
    await roundTrip(scratch, cache, table, async seen => {
      expect(seen.table).toEqual(table)
      expect(seen.status).toMatchObject({
        state: 'rw',
        metadataBlockBytes: 4096,
        totalMetadataBlocks: 1024,
        blockSectors: 128,
        totalCacheBlocks: 64,
        features: told,
        coreArguments: { migration_threshold: '4096' },
        policy: 'smq',
        needsCheck: false,
      })
      await writeAt(seen.device.path, 0, pattern(1, 4096))
      const after = cache.parseStatus((await seen.device.status())[0]!)
      expect(after.state === 'rw' && after.writeHits + after.writeMisses).toBeGreaterThan(0)
    })
  })
})

test('a cache keeps its content when its origin and its cache device grow and it is suspended and resumed', async () => {
  await withDevices(scratch, [8 * MiB, 8 * MiB, 16 * MiB], async loops => {
    const part = (at: number, lengthSectors: number) => linear({ lengthSectors, device: loops[at]! })
    const made = (at: number, sectors: number) =>
      MappedDevice.create({ name: scratch.name('part'), table: [part(at, sectors)] })
    const [metadata, fast, origin] = [await made(0, 8192), await made(1, 8192), await made(2, 16384)]
    const tableOf = (lengthSectors: number) =>
      cache({
        lengthSectors,
        metadataDevice: metadata.device,
        cacheDevice: fast.device,
        originDevice: origin.device,
        blockSectors: 128,
        mode: 'writeback',
        policy: 'smq',
      })
    const device = await MappedDevice.create({ name: scratch.name('cache'), table: [tableOf(16384)] })
    await writeAt(device.path, 0, pattern(1, 65536))
    const look = async (lengthSectors: number, totalCacheBlocks: number) => {
      await device.replaceTable([tableOf(lengthSectors)])
      const [line] = await device.status()
      expect(line!.lengthSectors).toBe(lengthSectors)
      expect(cache.parseStatus(line!)).toMatchObject({ state: 'rw', totalCacheBlocks, needsCheck: false })
      expect((await readAt(device.path, 0, 65536)).equals(pattern(1, 65536))).toBe(true)
    }
    await metadata.replaceTable([part(0, 16384)])
    await look(16384, 64)
    await fast.replaceTable([part(1, 16384)])
    await look(16384, 128)
    await origin.replaceTable([part(2, 32768)])
    await look(32768, 128)
    await writeAt(device.path, 16 * MiB - 4096, pattern(2, 4096))
    for (const time of [1, 2]) expect([time, await device.suspend()]).toEqual([time, undefined])
    for (const time of [1, 2]) expect([time, await device.resume()]).toEqual([time, undefined])
    expect((await readAt(device.path, 16 * MiB - 4096, 4096)).equals(pattern(2, 4096))).toBe(true)
    for (const each of [device, origin, fast, metadata]) await each.remove()
  })
})

test('a write cache accepts writes, and writes them back at the flush message', async () => {
  await withDevices(scratch, [4 * MiB, 4 * MiB], async ([originDevice, cacheDevice]) => {
    const table = {
      lengthSectors: 8192,
      kind: 's' as const,
      originDevice: originDevice!,
      cacheDevice: cacheDevice!,
      blockBytes: 4096,
      highWatermark: 60,
      lowWatermark: 40,
      writebackJobs: 8,
      autocommitBlocks: 100,
      autocommitTimeMs: 500,
    }
    await roundTrip(
      scratch,
      writecache,
      table,
      async seen => {
        expect(seen.table).toEqual(table)
        expect(seen.status).toMatchObject({ error: 0, readBlocks: expect.any(Number) as number })
        await writeAt(seen.device.path, 0, pattern(3, 4096))
        expect(writecache.parseStatus((await seen.device.status())[0]!).writeBlocks).toBeGreaterThan(0)
        await seen.device.message('flush')
      },
      { reload: false },
    )
    expect((await readBelow(originDevice!, 0, 4096)).equals(pattern(3, 4096))).toBe(true)
  })
})

test('an era device enters the next era at a checkpoint, and holds a metadata snapshot', async () => {
  await withDevices(scratch, [4 * MiB, 4 * MiB], async ([metadataDevice, originDevice]) => {
    const table = {
      lengthSectors: 8192,
      metadataDevice: metadataDevice!,
      originDevice: originDevice!,
      blockSectors: 128,
    }
    await roundTrip(
      scratch,
      era,
      table,
      async seen => {
        expect(seen.table).toEqual(table)
        expect(seen.status).toMatchObject({ state: 'active', metadataBlockBytes: 4096, heldMetadataRoot: null })
        await seen.device.message('checkpoint')
        await seen.device.message('take_metadata_snap')
        const after = era.parseStatus((await seen.device.status())[0]!)
        const before = seen.status.state === 'active' ? seen.status.currentEra : Number.NaN
        expect(after).toMatchObject({ heldMetadataRoot: expect.any(Number) as number })
        expect(after.state === 'active' && after.currentEra > before).toBe(true)
        await seen.device.message('drop_metadata_snap')
      },
      { reload: false },
    )
  })
})
