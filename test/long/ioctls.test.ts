// Scenario                                                  Test
// a million ioctls, memory, descriptors and threads flat    a million concurrent ioctls …
import { readFileSync } from 'node:fs'
import { MiB } from '../../lib/entry/index.js'
import { endure, expectFlat, machine } from '../helpers/long/endurance.js'
import { withPool } from '../helpers/pool/pools.js'
import { useScratch } from '../helpers/kernel/scratch.js'

const scratch = useScratch()

test('strace counts at least as many ioctls of the device mapper as a round reports', async () => {
  await withPool({ metadataBytes: 8 * MiB }, async (_, { reopen }) => {
    const log = scratch.path('strace')
    const prefix = ['strace', '-f', '-qq', '--signal=none', '-e', 'trace=ioctl', '-o', log]
    const { end } = await endure('ioctls', { reopen, rounds: 1, share: 0.01 }, prefix)
    const seen = readFileSync(log, 'utf8').match(/ioctl\(\d+, DM_/g)?.length ?? 0
    expect(end['made']).toBeGreaterThan(1000)
    expect(seen).toBeGreaterThanOrEqual(end['made'] as number)
  })
})

test('a million concurrent ioctls of every kind leave memory, descriptors and threads constant', async () => {
  scratch.log.allow(/device-mapper: ioctl: /)
  await withPool({ metadataBytes: 16 * MiB }, async (_, { reopen }) => {
    const before = machine()
    const { looks, end } = await endure('ioctls', { reopen, rounds: 11, share: 1 })
    // Without the first round, which is the warming up.
    expect(end['made'] as number).toBeGreaterThan(1_000_000)
    expect(looks.at(-1)!.done - looks[1]!.done).toBeGreaterThan(1_000_000)
    expectFlat(looks, 16 * MiB) // 16 bytes a call
    expect(machine()).toEqual(before)
  })
})
