// Streams of one snapshot, of two processes on a real kernel, made to overlap at each step of the first call.
import { useScratch } from '../../helpers/kernel/scratch.js'
import { written } from '../../helpers/metadata/bookmark.js'
import { overlapEach, twoProcesses, type Processes } from '../../helpers/overlap/overlap.js'
import { TransferScene } from '../../helpers/overlap/transfer-scene.js'
import { withPool } from '../../helpers/pool/pools.js'

useScratch()

let processes: Processes

beforeEach(() => (processes = twoProcesses('transfer-calls.cjs', 'transfer')))
afterEach(async () => void (await Promise.all(processes.map(process => process.end()))))

async function expectNoFaults(first: string, second: string, begins: boolean): Promise<void> {
  await withPool(async pool => {
    const snapshot = await (await written(pool, 3)).snapshot()
    const faults = await overlapEach(processes, new TransferScene(pool, snapshot, begins), first, [second])
    await Promise.all(processes.map(process => process.prepare(null)))
    expect(faults).toEqual([])
  })
}

test('a process sends a snapshot while another one sends it too, between any two steps', async () => {
  await expectNoFaults('send', 'send', false)
})

test('a process sends a snapshot while a stream of another one ends, between any two steps', async () => {
  await expectNoFaults('send', 'end', true)
})
