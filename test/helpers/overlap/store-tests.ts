// Tests of every two calls on one store, of two processes on a real kernel, made to overlap at each step of the first: it is
// held before that step while the second runs, until that has ended or waits. A step changes something, or waits.
import type { Scratch } from '../kernel/scratch.js'
import { CHANGES, counted, overlapEach, twoProcesses, type Processes } from './overlap.js'
import type { Pairs } from './pool-tests.js'
import { StoreScene } from './store-scene.js'

export function testOverlapsOnStore(scratch: Scratch, { first: firsts, second }: Pairs): void {
  let processes: Processes

  beforeAll(() => {
    processes = twoProcesses('store-calls.cjs', 'store')
  })
  // The kernel logs what it refuses.
  beforeEach(() =>
    scratch.log.allow(/thin: .* failed|Couldn't open thin|transaction id|adding target|snapshot already exists/),
  )
  afterAll(async () => {
    await Promise.all(processes.map(process => process.end()))
    process.stderr.write(`two processes on a store: ${String(counted)}\n`)
  })

  test.each(firsts)('%s overlaps with each call of the store at each of its steps', async first => {
    const scene = new StoreScene(scratch)
    await scene.start(processes)
    const faults = await overlapEach(processes, scene, first, second, CHANGES)
    await scene.end(processes)
    expect(faults).toEqual([])
  })
}
