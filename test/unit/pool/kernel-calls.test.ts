// How often calls on a pool ask the kernel: it does not depend on the number of volumes.
import { memoryKernel } from '../../../lib/entry/testing.js'
import { MiB, ThinPool, volumesOf } from '../../../lib/entry/index.js'
import { processOn } from '../../helpers/process/processes.js'

/** Files in /run, which JavaScript reads. */
const FILES = new Set(['readRunFile'])

/** The kernel calls that `act` makes on a pool of `count` active volumes. */
async function callsWith(count: number, act: (pool: ThinPool) => Promise<unknown>): Promise<string[]> {
  const kernel = memoryKernel()
  const pool = await ThinPool.create(kernel.poolOptions('images'))
  const origin = await pool.createVolume({ sizeBytes: MiB })
  const made = count > 1 ? volumesOf(await pool.snapshotMany(origin, count - 1)) : []
  volumesOf(await pool.activateMany([origin, ...made]))
  await pool.createVolume({ sizeBytes: MiB, id: 5_000 })
  const process = processOn(kernel)
  const other = await ThinPool.open({ name: 'images', kernel: process })
  process.calls.length = 0
  await act(other)
  return process.calls.filter(call => !FILES.has(call))
}

const onMany = (act: (pool: ThinPool) => Promise<unknown>): Promise<string[]> => callsWith(300, act)

test('ThinPool.open asks the kernel twice, whatever the number of active volumes', async () => {
  const kernel = memoryKernel()
  const pool = await ThinPool.create(kernel.poolOptions('images'))
  const origin = await pool.createVolume({ sizeBytes: MiB })
  volumesOf(await pool.activateMany([origin, ...volumesOf(await pool.snapshotMany(origin, 300))]))
  const process = processOn(kernel)
  const opened = await ThinPool.open({ name: 'images', kernel: process })
  expect(process.calls.filter(call => !FILES.has(call))).toEqual(['lockPool', 'inventory'])
  expect(await opened.volumes()).toHaveLength(301)
})

test('refresh() of an active volume asks the kernel once', async () => {
  expect(await onMany(async pool => (await pool.volume(7, { known: true })).refresh())).toEqual([
    'deviceLines',
    'deviceLines',
  ])
})

test('volume() of an active volume asks the kernel once', async () => {
  expect(await onMany(pool => pool.volume(7))).toEqual(['deviceLines'])
})

test('volume() of an inactive volume reads one node of each level of the tree of volumes', async () => {
  const reads = async (count: number) => {
    const calls = await callsWith(count, pool => pool.volume(5_000))
    return calls.filter(call => call === 'readBlocks').length
  }
  // The superblock before and after; the levels of the tree: one leaf, or a root and its leaf.
  expect([await reads(1), await reads(300)]).toEqual([3, 4])
})

test('volumes() asks for all devices at once', async () => {
  const [few, many] = [await callsWith(1, pool => pool.volumes()), await onMany(pool => pool.volumes())]
  const asked = (calls: readonly string[]) => calls.filter(call => call !== 'readBlocks')
  expect(asked(many)).toEqual(asked(few))
  expect(asked(many).filter(call => call === 'inventory')).toEqual(['inventory'])
})

test('remove() of a pool asks for all devices at once', async () => {
  const act = (pool: ThinPool) => pool.remove({ deactivate: true })
  const counted = (calls: readonly string[]) => calls.filter(call => call !== 'deactivate')
  expect(counted(await onMany(act))).toEqual(counted(await callsWith(1, act)))
})

test('statusMany asks the kernel once', async () => {
  expect(await onMany(async pool => pool.statusMany([await pool.volume(3, { known: true })]))).toEqual([
    'deviceLines',
    'statusMany',
  ])
})
