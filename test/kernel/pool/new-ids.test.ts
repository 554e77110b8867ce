// Two calls that create one thin id at the same moment, by different pool objects, as two processes do. The kernel finds
// an id that exists only after the commit of the first call. Until then it takes the mappings of the first volume away
// before it rejects the second call (dm-thin-metadata.c __create_snap, __create_thin). So the second message must not be
// sent at all: the kernel would log that it failed, and a test in which it logs that fails.
import { readdirSync, readFileSync } from 'node:fs'
import { MiB, ThinPool, type ThinVolume } from '../../../lib/entry/index.js'
import { seedOf, writeBlock } from '../../helpers/kernel/blocks.js'
import { dmResume, dmSuspend, thinCheck } from '../../helpers/kernel/dmsetup.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { onLinear, type BrokenPool } from '../../helpers/pool/broken-pool.js'
import { takeDown } from '../../helpers/pool/pools.js'

const scratch = useScratch()

/** Returns the count of threads of this process that wait in the kernel and take no signal. */
const blockedThreads = (): number =>
  readdirSync('/proc/self/task').filter(thread => {
    const stat = readFileSync(`/proc/self/task/${thread}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) === 'D'
  }).length

/** Starts the calls one after the other while the pool cannot commit. Each waits in the kernel, unless it has ended. */
async function duringCommit<T>(
  { pool, linear }: BrokenPool,
  calls: readonly (() => Promise<T>)[],
): Promise<PromiseSettledResult<T>[]> {
  dmSuspend(linear)
  const started: Promise<unknown>[] = []
  let ended = 0
  const start = async (call: () => Promise<unknown>) => {
    const running = call().finally(() => (ended += 1))
    started.push(running)
    running.catch(() => {})
    while (blockedThreads() + ended < started.length) await new Promise(resolve => setTimeout(resolve, 5))
  }
  await start(() => pool.commit())
  for (const call of calls) await start(call)
  dmResume(linear)
  const [, ...results] = await Promise.allSettled(started)
  return results as PromiseSettledResult<T>[]
}

const outcomes = (results: readonly PromiseSettledResult<unknown>[]) =>
  results.map(result => (result.status === 'fulfilled' ? 'fulfilled' : (result.reason as { code: string }).code))

/** Runs `body` with two volumes that have different data, of two pool objects of one pool. */
async function withTwoObjects(
  body: (broken: BrokenPool, one: ThinVolume, two: ThinVolume, other: ThinPool) => Promise<void>,
) {
  await onLinear(scratch, async broken => {
    const { pool, volume } = broken
    await volume.deactivate()
    const other = await ThinPool.open(pool.name)
    const second = await (await other.createVolume({ sizeBytes: 8 * MiB })).activate()
    await writeBlock(second.path, 0, 2)
    await second.deactivate()
    // The first snapshot of a pool object reads the snapshot clock, which would wait for the commit.
    for (const each of [volume, second]) await (await each.snapshot({ id: 5 })).delete()
    await body(broken, volume, second, other)
    await other.close()
    await takeDown(pool.name)
    thinCheck(broken.metadataFile)
  })
}

test('two snapshots that are created with one id at the same moment: one is rejected, and the other has its data', async () => {
  await withTwoObjects(async (broken, one, two) => {
    const results = await duringCommit(broken, [() => one.snapshot({ id: 7 }), () => two.snapshot({ id: 7 })])
    expect(outcomes(results)).toEqual(['fulfilled', 'DM_VOLUME_EXISTS'])
    const made = (results[0] as PromiseFulfilledResult<ThinVolume>).value
    expect(await seedOf((await made.activate()).path, 0, [1, 2])).toBe(1)
  })
})

test('two volumes that are created with one id at the same moment: one is rejected, and the other is there', async () => {
  await withTwoObjects(async (broken, _one, _two, other) => {
    const create = (pool: ThinPool) => () => pool.createVolume({ id: 7, sizeBytes: MiB })
    const results = await duringCommit(broken, [create(broken.pool), create(other)])
    expect(outcomes(results)).toEqual(['fulfilled', 'DM_VOLUME_EXISTS'])
    const made = (results[0] as PromiseFulfilledResult<ThinVolume>).value
    const copy = await (await made.snapshot({ id: 8 })).activate()
    expect((await copy.status()).state).toBe('active')
  })
})
