// Scenario                                                   Test
// D  lineardev: 9 flakey params                              a flakey device accepts and reports its …
// A  zero                                                    a zero device reads as zeros after any …
// a line of ours, the kernel's TABLE and STATUS of it        each test, by roundTrip()
// a path with a blank, a backslash, a tab                    a path with blanks and backslashes reaches the …
import { readdirSync, symlinkSync } from 'node:fs'
import { MiB } from '../../../lib/entry/index.js'
import {
  delay,
  error,
  flakey,
  generic,
  linear,
  logWrites,
  MappedDevice,
  striped,
  zero,
  type FlakeyFeatures,
} from '../../../lib/entry/kernel.js'
import { pattern, readAt, writeAt } from '../../helpers/kernel/blocks.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { dmTable } from '../../helpers/kernel/dmsetup.js'
import { readBelow, roundTrip, withDevices } from '../../helpers/target/round-trip.js'

const scratch = useScratch()
const lengthSectors = 2048

test('a linear device maps a part of another device', async () => {
  await withDevices(scratch, [2 * MiB], async ([device]) => {
    const table = { lengthSectors, device: device!, offsetSectors: 1024 }
    await roundTrip(scratch, linear, table, async seen => {
      expect(seen.table).toEqual(table)
      expect(seen.status).toBeNull()
      await writeAt(seen.device.path, 0, pattern(1, 4096))
      expect((await readBelow(device!, 512 * 1024, 4096)).equals(pattern(1, 4096))).toBe(true)
    })
  })
})

test('a path with blanks and backslashes reaches the kernel unchanged', async () => {
  await withDevices(scratch, [MiB], async ([device]) => {
    const path = scratch.path('a b\\c\td \\\\ é')
    symlinkSync(`/dev/loop${device!.slice(2)}`, path)
    await roundTrip(scratch, linear, { lengthSectors, device: path }, ({ table }) => {
      expect(table).toEqual({ lengthSectors, device, offsetSectors: 0 })
    })
    expect(readdirSync(scratch.path('')).filter(name => name.startsWith('a b'))).toHaveLength(1)
  })
})

test('a character that ends in the byte 0xa0, in which the kernel sees a blank, is rejected', async () => {
  scratch.log.allow(/Device lookup failed|error adding target to table/)
  await withDevices(scratch, [MiB], async ([device]) => {
    const path = scratch.path('à')
    symlinkSync(`/dev/loop${device!.slice(2)}`, path)
    expect(() => linear({ lengthSectors, device: path })).toThrow('in which the kernel sees a blank')
    const table = [generic({ lengthSectors, type: 'linear', parameters: `${path} 0` })]
    await expect(MappedDevice.create({ name: scratch.name('cut'), table })).rejects.toMatchObject({
      code: 'DM_TABLE_REFUSED',
    })
  })
})

test('a striped device has chunks of its devices in turn', async () => {
  await withDevices(scratch, [MiB, MiB], async ([one, two]) => {
    const stripes = [
      { device: one!, offsetSectors: 0 },
      { device: two!, offsetSectors: 8 },
    ]
    await roundTrip(scratch, striped, { lengthSectors: 2048, chunkSectors: 8, stripes }, async seen => {
      expect(seen.table).toEqual({ lengthSectors: 2048, chunkSectors: 8, stripes })
      expect(seen.status.stripes).toEqual([
        { device: one, failed: false },
        { device: two, failed: false },
      ])
      await writeAt(seen.device.path, 4096, pattern(2, 4096))
      expect((await readBelow(two!, 4096, 4096)).equals(pattern(2, 4096))).toBe(true)
    })
  })
})

test('an error device fails every read', async () => {
  scratch.log.allow(/I\/O error/)
  await roundTrip(scratch, error, { lengthSectors }, async ({ device, line }) => {
    expect(line).toBe('')
    await expect(readAt(device.path, 0, 512)).rejects.toMatchObject({ code: 'EIO' })
  })
})

test('a zero device reads as zeros after any write', async () => {
  await roundTrip(scratch, zero, { lengthSectors }, async ({ device }) => {
    await writeAt(device.path, 0, pattern(1, 4096))
    expect((await readAt(device.path, 0, 4096)).every(byte => byte === 0)).toBe(true)
  })
})

test('a delay device has one, two or three classes, and counts delayed requests', async () => {
  await withDevices(scratch, [MiB], async ([device]) => {
    const read = { device: device!, offsetSectors: 0, delayMs: 0 }
    const write = { ...read, delayMs: 1 }
    const flush = { ...read, delayMs: 2 }
    for (const table of [{ read }, { read, write }, { read, write, flush }]) {
      await roundTrip(scratch, delay, { lengthSectors, ...table }, seen => {
        expect(seen.table).toEqual({ lengthSectors, ...table })
        expect(seen.status).toEqual({ reads: 0, writes: 0, flushes: 0 })
      })
    }
  })
})

const corruptBioByte = { nthByte: 32, direction: 'r', value: 1, flags: 0 } as const
/** What is asked for, and what this kernel tells where it is more. */
const FLAKEY: [string, FlakeyFeatures, FlakeyFeatures?][] = [
  ['none', {}, { errorReads: true, errorWrites: true }],
  ['drop_writes', { dropWrites: true }],
  ['error_writes', { errorWrites: true }],
  ['error_reads', { errorReads: true }],
  ['error_reads and drop_writes', { errorReads: true, dropWrites: true }],
  ['error_reads and error_writes', { errorReads: true, errorWrites: true }],
  ['corrupt_bio_byte of reads', { corruptBioByte }],
  ['corrupt_bio_byte of writes', { corruptBioByte: { nthByte: 224, direction: 'w', value: 0, flags: 32 } }],
  ['random_read_corrupt and random_write_corrupt', { randomReadCorrupt: 500_000_000, randomWriteCorrupt: 1 }],
]
test.each(FLAKEY)('a flakey device accepts and reports its features: %s', async (_, given, told = given) => {
  await withDevices(scratch, [MiB], async ([device]) => {
    const table = { lengthSectors, device: device!, offsetSectors: 0, upSeconds: 16, downSeconds: 2 }
    await roundTrip(scratch, flakey, { ...table, ...given }, seen => {
      expect(seen.table).toEqual({ ...table, ...told })
    })
  })
})

test('a log-writes device counts its logged entries', async () => {
  await withDevices(scratch, [MiB, 4 * MiB], async ([device, logDevice]) => {
    const table = { lengthSectors, device: device!, logDevice: logDevice! }
    await roundTrip(
      scratch,
      logWrites,
      table,
      async seen => {
        expect(seen.table).toEqual(table)
        expect(seen.status).toMatchObject({ loggedEntries: 0, loggingDisabled: false })
        await writeAt(seen.device.path, 0, pattern(1, 4096))
        // A thread of the kernel counts them.
        const logged = async () => logWrites.parseStatus((await seen.device.status())[0]!).loggedEntries
        while ((await logged()) === 0) await new Promise(setImmediate)
      },
      { reload: false },
    )
  })
})

test('a target that the library does not know is created and read with a generic segment', async () => {
  await withDevices(scratch, [MiB], async ([device]) => {
    const name = scratch.name('generic')
    const table = [generic({ lengthSectors: 1024, type: 'unstriped', parameters: [2, 8, 0, device!, 0] })]
    const made = await MappedDevice.create({ name, table })
    expect(dmTable(name)).toBe(`0 1024 unstriped 2 8 0 ${device} 0`)
    expect(await made.table()).toEqual([{ startSectors: 0, ...table[0] }])
    await made.remove()
  })
})
