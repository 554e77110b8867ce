// Scenario                                                   Test
// the kernel's lines of raid and mirror                      each test, by roundTrip()
import { setTimeout as sleep } from 'node:timers/promises'
import { MiB } from '../../../lib/entry/index.js'
import { mirror, raid } from '../../../lib/entry/kernel.js'
import { pattern, readAt, writeAt } from '../../helpers/kernel/blocks.js'
import { readBelow, roundTrip, withDevices } from '../../helpers/target/round-trip.js'
import { useScratch } from '../../helpers/kernel/scratch.js'

const scratch = useScratch()

test('a raid0 has no metadata and no options', async () => {
  await withDevices(scratch, [4 * MiB, 4 * MiB], async ([one, two]) => {
    const table = {
      lengthSectors: 16384,
      raidType: 'raid0',
      chunkSectors: 128,
      devices: [
        { metadata: null, data: one! },
        { metadata: null, data: two! },
      ],
    }
    await roundTrip(scratch, raid, table, seen => {
      expect(seen.table).toEqual(table)
      expect(seen.status).toMatchObject({ raidType: 'raid0', health: ['A', 'A'], mismatches: 0 })
    })
  })
})

test('a raid1 keeps two copies, and reports how far they are in sync', async () => {
  await withDevices(scratch, [4 * MiB, 4 * MiB, 4 * MiB, 4 * MiB], async ([meta1, data1, meta2, data2]) => {
    const table = {
      lengthSectors: 8192,
      raidType: 'raid1',
      chunkSectors: 0,
      sync: 'nosync' as const,
      daemonSleepMs: 1000,
      minRecoveryRate: 10,
      maxRecoveryRate: 1000,
      writeMostly: [1],
      regionSectors: 1024,
      devices: [
        { metadata: meta1!, data: data1! },
        { metadata: meta2!, data: data2! },
      ],
    }
    await roundTrip(
      scratch,
      raid,
      table,
      async seen => {
        expect(seen.table).toMatchObject({ raidType: 'raid1', writeMostly: [1], devices: table.devices })
        expect(seen.status).toMatchObject({ raidType: 'raid1', totalSectors: 8192, journal: '-' })
        await writeAt(seen.device.path, 0, pattern(1, 4096))
        expect((await readBelow(data2!, 0, 4096)).equals(pattern(1, 4096))).toBe(true)
      },
      { reload: false },
    )
  })
})

test.each([
  ['raid4', 24576, {}],
  ['raid5_ls', 24576, { stripeCacheSectors: 2048 }],
  ['raid10', 16384, { raid10Copies: 2, raid10Format: 'near' as const }],
])('a %s of four devices has its options and reports its health', async (raidType, lengthSectors, options) => {
  // They say so of every loop device.
  scratch.log.allow(/discard support disabled|devices_handle_discard_safely/)
  const sizes = Array<number>(8).fill(4 * MiB)
  await withDevices(scratch, sizes, async numbers => {
    const [metadata, data] = [numbers.slice(0, 4), numbers.slice(4)]
    // Without metadata md does not know the layout of a raid10.
    const devices = data.map((each, at) => ({ metadata: raidType === 'raid10' ? metadata[at]! : null, data: each }))
    const table = { lengthSectors, raidType, chunkSectors: 128, sync: 'nosync' as const, ...options, devices }
    await roundTrip(
      scratch,
      raid,
      table,
      async seen => {
        expect(seen.table).toEqual(table)
        expect(seen.status).toMatchObject({ raidType, mismatches: 0 })
        // `a` until the kernel's thread has found that there is nothing to synchronise.
        const health = async () => raid.parseStatus((await seen.device.status())[0]!).health.join('')
        while ((await health()) !== 'AAAA') await sleep(20)
        await writeAt(seen.device.path, 0, pattern(1, 4096))
        expect((await readAt(seen.device.path, 0, 4096)).equals(pattern(1, 4096))).toBe(true)
      },
      { reload: false },
    )
  })
})

test('a mirror has its log in memory or on a device, and reports the health of each copy', async () => {
  await withDevices(scratch, [MiB, MiB, MiB], async ([one, two, logDevice]) => {
    const copies = [
      { device: one!, offsetSectors: 0 },
      { device: two!, offsetSectors: 0 },
    ]
    const core = { lengthSectors: 2048, log: { kind: 'core', regionSectors: 1024, sync: 'nosync' }, copies } as const
    await roundTrip(scratch, mirror, { ...core, handleErrors: true }, async seen => {
      expect(seen.table).toEqual({ ...core, handleErrors: true })
      expect(seen.status).toMatchObject({
        copies: [
          { device: one, health: 'A' },
          { device: two, health: 'A' },
        ],
        totalRegions: 2,
        log: ['core'],
      })
      await writeAt(seen.device.path, 0, pattern(1, 4096))
      expect((await readBelow(two!, 0, 4096)).equals(pattern(1, 4096))).toBe(true)
    })
    const disk = { ...core, log: { kind: 'disk', device: logDevice!, regionSectors: 1024 } } as const
    await roundTrip(
      scratch,
      mirror,
      disk,
      seen => {
        expect(seen.table).toEqual(disk)
        expect(seen.status.log).toEqual(['disk', logDevice, 'A'])
      },
      { reload: false },
    )
  })
})
