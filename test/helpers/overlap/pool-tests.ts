// Tests of every two calls on one pool, of two processes on a real kernel, made to overlap at each step of the first: it is
// held before that operation of the kernel while the second runs, until that has ended or waits.
import type { Scratch } from '../kernel/scratch.js'
import { CHANGES, counted, overlapEach, twoProcesses, type Processes } from './overlap.js'
import { ON_POOL, PoolScene } from './pool-scene.js'

/** The first and the second calls of pairs. */
export interface Pairs {
  readonly first: readonly string[]
  readonly second: readonly string[]
}

/** Defines the tests. `running`: calls on a running pool. `resting`: on its files while it does not run. `missing`: without files. */
export function testOverlapsOnPool(
  scratch: Scratch,
  { running, resting, missing }: Readonly<Record<'running' | 'resting' | 'missing', Pairs>>,
): void {
  let processes: Processes
  let scene: PoolScene

  beforeAll(() => {
    processes = twoProcesses('pool-calls.cjs', 'index')
    const files = { data: scratch.path('data'), metadata: scratch.path('metadata') }
    scene = new PoolScene(scratch.name('pool'), scratch.name('other'), files)
  })
  // The kernel logs what it refuses.
  beforeEach(() =>
    scratch.log.allow(/thin: .* failed|Couldn't open thin|transaction id|adding target|snapshot already exists/),
  )
  afterAll(async () => {
    await Promise.all(processes.map(process => process.end()))
    process.stderr.write(`two processes on a pool: ${String(counted)}\n`)
  })

  test.each(running.first)('%s of a running pool overlaps with each call at each of its steps', async first => {
    // Others wait while a call with the exclusive lock reads.
    const operations = ON_POOL[first]!.exclusive ? CHANGES : '*'
    const faults = await overlapEach(processes, scene, first, running.second, operations)
    expect([...faults, ...(await scene.end())]).toEqual([])
  })

  test.each(resting.first)('%s on the files of a pool that does not run overlaps with each call', async first => {
    const faults = await overlapEach(processes, scene.resting(true), first, resting.second, CHANGES)
    await scene.atRest(processes, true)
    expect([...faults, ...(await scene.end())]).toEqual([])
  })

  test.each(missing.first)('%s on missing files overlaps with each call', async first => {
    const faults = await overlapEach(processes, scene.resting(false), first, missing.second, CHANGES)
    await scene.atRest(processes, true)
    expect([...faults, ...(await scene.end())]).toEqual([])
  })
}
