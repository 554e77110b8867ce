// Every two calls on one pool, of two processes on a real kernel, made to overlap at each step of the first: it is held
// before that operation of the kernel while the second runs, until that has ended or waits. test/unit/pool/overlap.test.ts
// does the same in one process and on the kernel in memory, where some of these steps are one.
import { useScratch } from '../../helpers/kernel/scratch.js'
import { CHANGES, counted, overlapEach, twoProcesses, type Processes } from '../../helpers/overlap/overlap.js'
import { ON_FILES, ON_POOL, PoolScene } from '../../helpers/overlap/pool-scene.js'

const scratch = useScratch()
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
  console.info(`two processes on a pool: ${String(counted)}`)
})

const onPool = Object.keys(ON_POOL)
const onFiles = Object.keys(ON_FILES)
/** Those of them that differ if there are no files. */
const onNoFiles = ['create on files', 'create under another name', 'start']

test.each(onPool)('%s of a running pool overlaps with each call at each of its steps', async first => {
  // Others wait while a call with the exclusive lock reads.
  const operations = ON_POOL[first]!.exclusive ? CHANGES : '*'
  const faults = await overlapEach(processes, scene, first, onPool, operations)
  expect([...faults, ...(await scene.end())]).toEqual([])
})

test.each(onFiles)('%s on the files of a pool that does not run overlaps with each call', async first => {
  const faults = await overlapEach(processes, scene.resting(true), first, onFiles, CHANGES)
  await scene.atRest(processes, true)
  expect([...faults, ...(await scene.end())]).toEqual([])
})

test.each(onNoFiles)('%s on missing files overlaps with each call', async first => {
  const faults = await overlapEach(processes, scene.resting(false), first, onNoFiles, CHANGES)
  await scene.atRest(processes, true)
  expect([...faults, ...(await scene.end())]).toEqual([])
})
