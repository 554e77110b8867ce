// Calls for many volumes: how much of them is under way at once, and how they are given up.
import { memoryKernel } from '../../../lib/entry/testing.js'
import { MiB, ThinPool, volumesOf, type ThinVolume } from '../../../lib/entry/index.js'
import { processOn } from '../../helpers/process/processes.js'

const COUNT = 200

async function withVolumes() {
  const kernel = memoryKernel()
  const process = processOn(kernel)
  const pool = await ThinPool.create({ ...kernel.poolOptions('images'), kernel: process })
  const origin = await (await pool.createVolume({ sizeBytes: MiB })).activate()
  return { kernel, process, pool, origin }
}

test('deleteMany has one batch in flight at a time', async () => {
  const { process, pool, origin } = await withVolumes()
  const volumes = volumesOf(await pool.snapshotMany(origin, COUNT))
  const before = process.calls.length
  const held = process.holdAt('targetMessages')
  const deleting = pool.deleteMany(volumes)
  await held.reached
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
  expect(process.calls.slice(before)).toEqual(['targetMessages'])
  held.go()
  expect(volumesOf(await deleting)).toHaveLength(COUNT)
  expect((await pool.volumes()).map(({ id }) => id)).toEqual([0])
})

describe('a call that takes many turns of the event loop', () => {
  /** Lets each look at the clock come 10 ms after the one before. */
  const slowly = () => {
    let now = 0
    return jest.spyOn(performance, 'now').mockImplementation(() => (now += 10))
  }
  afterEach(() => jest.restoreAllMocks())

  test('has the volumes of a batch in one native call', async () => {
    const { process, pool, origin } = await withVolumes()
    const volumes = volumesOf(await pool.snapshotMany(origin, 64))
    const before = process.calls.length
    slowly()
    expect(volumesOf(await pool.activateMany(volumes))).toHaveLength(64)
    expect(process.calls.slice(before).filter(name => name === 'activateMany')).toHaveLength(1)
  })

  test('keeps close() of a volume waiting from the moment at which its batch is prepared', async () => {
    const { pool, origin } = await withVolumes()
    const volumes = volumesOf(await pool.snapshotMany(origin, 64))
    slowly()
    const activating = pool.activateMany(volumes)
    await new Promise(setImmediate)
    await volumes[0]!.close()
    expect(volumes[0]!.active).toBe(true)
    expect(volumesOf(await activating)).toHaveLength(64)
  })

  test('rejects a volume that is closed before its batch is prepared, and that volume alone', async () => {
    const { pool, origin } = await withVolumes()
    const volumes = volumesOf(await pool.snapshotMany(origin, 65))
    slowly()
    const activating = pool.activateMany(volumes)
    await volumes[64]!.close()
    const results = await activating
    expect(results[64]).toMatchObject({ status: 'rejected', reason: { code: 'DM_CLOSED' } })
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(64)
    expect(volumes.filter(({ active }) => active)).toHaveLength(64)
  })
})

test('snapshotMany skips all ids that another process has taken', async () => {
  const { kernel, pool, origin } = await withVolumes()
  await pool.snapshotMany(origin, 1)
  const other = await ThinPool.open({ name: pool.name, kernel: processOn(kernel) })
  const theirs = volumesOf(await other.snapshotMany(await other.volume(origin.id), 40)).map(({ id }) => id)
  const own = volumesOf(await pool.snapshotMany(origin, 2)).map(({ id }) => id)
  expect(own).toHaveLength(2)
  expect(theirs).not.toEqual(expect.arrayContaining([own[0]]))
  expect((await pool.volumes()).map(({ id }) => id)).toEqual([0, 1, ...theirs, ...own].sort((a, b) => a - b))
})

test('snapshotMany resumes the origin between chunks, and an abort between two of them rejects the remaining items', async () => {
  const { process, pool, origin } = await withVolumes()
  await pool.snapshotMany(origin, 1)
  const before = process.calls.length
  const abort = new AbortController()
  const held = process.holdAt('snapshot')
  const snapshotting = pool.snapshotMany(origin, COUNT, { signal: abort.signal })
  await held.reached
  held.go()
  const next = process.holdAt('snapshot')
  await next.reached
  abort.abort()
  next.go()
  const results = await snapshotting
  expect(results).toHaveLength(COUNT)
  const made = results.filter(({ status }) => status === 'fulfilled').map(({ volume }) => volume.id)
  const codes = results.flatMap(result => (result.status === 'rejected' ? [result.reason.code] : []))
  expect(made.length).toBeLessThan(COUNT)
  expect(codes).toEqual(new Array(COUNT - made.length).fill('ABORT_ERR'))
  const ids = (volumes: readonly ThinVolume[]) => volumes.map(({ id }) => id).sort((a, b) => a - b)
  expect(ids(await pool.volumes())).toEqual([0, 1, ...made])
  expect(process.calls.slice(before).filter(call => call === 'snapshot').length).toBeGreaterThan(1)
})

test('an abort rejects its own call alone if several calls wait for the first list of the ids', async () => {
  const { pool, process } = await withVolumes()
  const again = await ThinPool.open({ name: pool.name, kernel: process })
  const abort = new AbortController()
  const held = process.holdAt('readBlocks')
  const first = again.createVolume({ sizeBytes: MiB, signal: abort.signal })
  await held.reached
  const second = again.createVolume({ sizeBytes: MiB })
  abort.abort()
  await expect(first).rejects.toMatchObject({ code: 'ABORT_ERR' })
  held.go()
  expect(await second).toMatchObject({ id: 1 })
})
