// Scenario                                                  Test
// moby#33603 leaked semaphores; kata#2031 leaked devices    10 000 activations and a hundred restarts of …
// @udev both
import { MiB } from '../../lib/entry/index.js'
import { endure, expectFlat, machine } from '../helpers/long/endurance.js'
import { withPool } from '../helpers/pool/pools.js'
import { useScratch } from '../helpers/kernel/scratch.js'

useScratch()

/** udevd has several events to work on for each cycle, and is far behind after a thousand: so one tenth where it runs. */
const perRound = process.env['DM_THIN_UDEV'] === '1' ? 100 : 1000

test('10 000 activations and a hundred restarts of the pool leave nothing behind', async () => {
  await withPool(async (_, { reopen }) => {
    const before = machine()
    const { looks, end } = await endure('cycles', { reopen, rounds: 10, perRound })
    expect(end['made']).toBe(10 * perRound)
    expectFlat([looks[0]!, ...looks], 8 * MiB)
    expect(machine()).toEqual(before)
  })
})
