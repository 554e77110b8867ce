// Forks of a volume: dmsetup counts what is left, and the content of each fork is read back.
// @udev both
import {
  alignedBuffer,
  BlockDevice,
  MiB,
  type DmThinError,
  type ThinPool,
  type ThinVolume,
} from '../../../lib/entry/index.js'
import { BLOCK, seedOf, writeBlock } from '../../helpers/kernel/blocks.js'
import { dmStatus } from '../../helpers/kernel/dmsetup.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { withPool } from '../../helpers/pool/pools.js'
import { run } from '../../helpers/process/spawned.js'

const scratch = useScratch()

const activated = async (pool: ThinPool): Promise<ThinVolume> =>
  (await pool.createVolume({ sizeBytes: 4 * MiB })).activate()
const idsIn = async (pool: ThinPool): Promise<number[]> => (await pool.volumes()).map(({ id }) => id)
const activeNames = (name: string): string[] =>
  run('dmsetup', ['ls'])
    .split('\n')
    .filter(line => line.startsWith(`${name}-`))
    .map(line => line.split('\t')[0]!)

/** Writes a counter to two pages in two blocks, one after the other, until `isOver`. */
async function count(volume: ThinVolume, isOver: () => boolean): Promise<void> {
  const device = await BlockDevice.open(volume.path)
  const page = alignedBuffer(4096)
  for (let value = 1; !isOver(); value++) {
    page.writeUInt32LE(value)
    await device.write(0, page)
    await device.write(BLOCK, page)
  }
  await device.close()
}

async function counters(volume: ThinVolume): Promise<[number, number]> {
  const device = await BlockDevice.open(volume.path)
  const [first, second] = [await device.read(0, 4096), await device.read(BLOCK, 4096)]
  await device.close()
  return [first.readUInt32LE(), second.readUInt32LE()]
}

test('100 forks of a volume that is written are active, and have the content of one point in time', async () => {
  await withPool({ dataBytes: 32 * MiB }, async (pool, { name }) => {
    const origin = await activated(pool)
    let isOver = false
    const writing = count(origin, () => isOver)
    const progress: number[] = []
    const forks = await pool.fork(origin, 100, { onProgress: ({ done }) => progress.push(done) })
    isOver = true
    await writing
    expect(forks).toHaveLength(100)
    expect(activeNames(name)).toHaveLength(101)
    expect(progress.at(-1)).toBe(100)
    const seen = await Promise.all(forks.map(counters))
    expect(new Set(seen.map(String)).size).toBe(1)
    const [first, second] = seen[0]!
    expect(first - second === 0 || first - second === 1).toBe(true) // the writer may have been between its two writes
    await writeBlock(forks[7]!.path, 3, 9)
    expect(await seedOf(forks[7]!.path, 3, [9])).toBe(9)
    expect(await counters(forks[8]!)).toEqual(seen[8])
  })
})

test('forks of an inactive volume have the given ids, and the origin stays inactive', async () => {
  await withPool({}, async (pool, { name }) => {
    const origin = await pool.createVolume({ sizeBytes: MiB })
    const forks = await pool.fork(origin, [40, 30])
    expect(forks.map(({ id, active }) => [id, active])).toEqual([
      [40, true],
      [30, true],
    ])
    expect(activeNames(name)).toHaveLength(2)
    expect(origin.active).toBe(false)
  })
})

test.each([
  ['the first', [7, 20, 21]],
  ['the last', [20, 21, 7]],
])('a fork leaves nothing if %s id is in use', async (_, ids) => {
  scratch.log.allow(/Creation of new snapshot 7 of device \d+ failed/)
  await withPool({}, async (pool, { name }) => {
    const origin = await activated(pool)
    await pool.createVolume({ sizeBytes: MiB, id: 7 })
    await expect(pool.fork(origin, ids)).rejects.toMatchObject({ code: 'DM_VOLUME_EXISTS' })
    expect(await idsIn(pool)).toEqual([origin.id, 7])
    expect(activeNames(name)).toHaveLength(1)
    expect(dmStatus(name)).toContain(' rw ')
  })
})

test('forks are all deleted if one cannot be activated, and the error lists the steps', async () => {
  await withPool({}, async (pool, { name }) => {
    const origin = await activated(pool)
    run('dmsetup', ['create', `${name}-32`, '--table', '0 8 zero'])
    const fault: unknown = await pool.fork(origin, [31, 32, 33]).catch((error: unknown) => error)
    run('dmsetup', ['remove', `${name}-32`])
    expect(fault).toMatchObject({ code: 'DM_NAME_TAKEN' })
    expect((fault as DmThinError).rollback.map(({ operation, errno }) => [operation, errno])).toEqual([
      ['deactivate', 0],
      ['delete', 0],
      ['delete', 0],
    ])
    expect(await idsIn(pool)).toEqual([origin.id])
    expect(activeNames(name)).toHaveLength(1)
  })
})

test.each([0, 1, 50])('a fork that is aborted after %i activations leaves nothing', async after => {
  await withPool({}, async (pool, { name }) => {
    const origin = await activated(pool)
    const abort = new AbortController()
    if (after === 0) setImmediate(() => abort.abort())
    const onProgress = ({ done }: { done: number }) => void (done === after && abort.abort())
    const call = pool.fork(origin, 70, { signal: abort.signal, onProgress })
    await expect(call).rejects.toMatchObject({ code: 'ABORT_ERR' })
    expect(await idsIn(pool)).toEqual([origin.id])
    expect(activeNames(name)).toHaveLength(1)
  })
  expect(scratch.log.complaints()).toEqual([])
})
