// Every two calls on one store, of two processes on a real kernel, made to overlap at each step of the first: it is held
// before that step while the second runs, until that has ended or waits. A step changes something, or waits.
import { useScratch } from '../../helpers/kernel/scratch.js'
import { CHANGES, counted, overlapEach, twoProcesses, type Processes } from '../../helpers/overlap/overlap.js'
import { ON_STORE, StoreScene } from '../../helpers/overlap/store-scene.js'

const scratch = useScratch()
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
  console.info(`two processes on a store: ${String(counted)}`)
})

test.each(Object.keys(ON_STORE))('%s overlaps with each call of the store at each of its steps', async first => {
  const scene = new StoreScene(scratch)
  await scene.start(processes)
  const faults = await overlapEach(processes, scene, first, Object.keys(ON_STORE), CHANGES)
  await scene.end(processes)
  expect(faults).toEqual([])
})
