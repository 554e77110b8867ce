// Scenario                                                  Test
// stratisd#79 events without a thread per device, for long  a storm of events reaches …
import { MiB } from '../../lib/entry/index.js'
import { BLOCK } from '../helpers/kernel/blocks.js'
import { endure, expectFlat, machine } from '../helpers/long/endurance.js'
import { withPool } from '../helpers/pool/pools.js'
import { useScratch } from '../helpers/kernel/scratch.js'

const scratch = useScratch()

test('a storm of events reaches every reader and listener once, and costs no memory for a watch that is not read', async () => {
  scratch.log.allow(/no free data space/, /reached low water mark/, /I\/O error/, /out-of-data-space/)
  const options = { dataBytes: 16 * BLOCK, errorIfNoSpace: true }
  await withPool(options, async (_, { reopen }) => {
    const before = machine()
    const prefix = scratch.name('storm-')
    const { looks, end } = await endure('storm', { reopen, prefix, rounds: 300, perRound: 50, devices: 200 })
    expect(end).toMatchObject({ overflows: 0, wrong: [] })
    const { read, heard, poolTold, waiting } = end as Record<string, Record<string, number>>
    for (const told of [read!, heard!]) {
      expect(told['added']).toBe(told['removed'])
      expect(told['added']).toBeGreaterThanOrEqual(300)
    }
    expect(read).toEqual(heard)
    expect(poolTold!['mode']).toBe(60) // full and emptied, thirty times
    expect(waiting!['others']).toBeLessThan(10_000)
    expectFlat(looks, 16 * MiB)
    expect(machine()).toEqual(before)
  })
})
