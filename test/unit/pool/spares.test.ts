// The spare volumes of a keeper, on the memory kernel: made, hidden, taken over, deleted for a resume that hangs.
import { memoryKernel, type MemoryKernel } from '../../../lib/entry/testing.js'
import { KiB, MiB, ThinPool, type DmThinError } from '../../../lib/entry/index.js'
import { MAX_THIN_ID } from '../../../lib/base/units.js'
import { portInside } from '../../../lib/kernel/kernel-option.js'
import { isSpareId, readMaking } from '../../../lib/pool/spares/spare-volumes.js'
import { spareIds } from '../../../lib/pool/spares/spare-volumes.js'

const BLOCK = 64 * KiB
const OPTIONS = {
  data: { growBelowBytes: 4 * BLOCK, stepBytes: 32 * BLOCK },
  metadata: { minBytes: 0, growBelowBytes: 1 },
  hostReserveBytes: 0,
}

const turn = () => new Promise(resolve => setTimeout(resolve, 5))
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await turn()
}

const used = async (pool: ThinPool) => (await pool.status()).data!.usedBlocks
const spares = async ({ context }: ThinPool) => (await spareIds(context)).spares
const full = async (pool: ThinPool) =>
  (await spares(pool)).length === 4 && (await readMaking(pool.context)) === undefined

async function poolOf(dataBlocks: number): Promise<{ readonly kernel: MemoryKernel; readonly pool: ThinPool }> {
  const kernel = memoryKernel({ dataBlocks })
  return { kernel, pool: await ThinPool.create(kernel.poolOptions()) }
}

/** Notes the messages that delete a volume. Waits for `before` at each resume; it may wait for the next such message. */
function watched(kernel: MemoryKernel, before: (next: () => Promise<void>) => Promise<unknown>) {
  const port = portInside(kernel)
  const deleted: number[] = []
  const seen: (() => void)[] = []
  const [resume, targetMessage] = [port.resume.bind(port), port.targetMessage.bind(port)]
  jest.spyOn(port, 'targetMessage').mockImplementation(async (...args) => {
    await targetMessage(...args)
    const [command, id] = args[2].split(' ')
    if (command !== 'delete') return ''
    deleted.push(Number(id))
    for (const wake of seen.splice(0)) wake()
    return ''
  })
  jest.spyOn(port, 'resume').mockImplementation(async (...args) => {
    await before(() => new Promise<void>(wake => seen.push(wake)))
    return resume(...args)
  })
  return deleted
}

test('a keeper makes four spares; the pool counts their blocks and lists none of them', async () => {
  const { kernel, pool } = await poolOf(64)
  const keeper = await pool.keep(OPTIONS)
  await until(() => full(pool))
  expect((await spares(pool)).every(isSpareId)).toBe(true)
  expect(await used(pool)).toBe(4)
  expect(await pool.metrics()).toMatchObject({ dataUsedBytes: 4 * BLOCK, volumes: 0, volumeSpace: [] })
  expect([await pool.volumes(), await pool.usage()]).toEqual([[], []])
  const [id = 0] = await spares(pool)
  await expect(pool.volume(id)).rejects.toMatchObject({ code: 'DM_VOLUME_NOT_FOUND' })
  await keeper.stop()
  expect(await used(pool)).toBe(0)
  expect(await spares(pool)).toEqual([])
  expect(kernel.left().files.filter(file => file.includes('spare'))).toEqual([])
  await pool.remove()
})

test('a keeper makes no spares in a pool that they would make low', async () => {
  const { pool } = await poolOf(20)
  await using _ = await pool.keep({ ...OPTIONS, lookEveryMs: 10 })
  for (let turns = 0; turns < 10; turns++) await turn()
  expect(await used(pool)).toBe(0)
})

test('a resume of a full pool that hangs ends when the keeper has deleted a spare, and the writer continues', async () => {
  const { kernel, pool } = await poolOf(64)
  const errors: DmThinError[] = []
  await using _ = await pool.keep({ ...OPTIONS, onError: error => errors.push(error) })
  await until(() => full(pool))
  const known = await spares(pool)
  const deleted = watched(kernel, next => (deleted.length === 0 ? next() : Promise.resolve()))
  const volume = await (await pool.createVolume({ sizeBytes: 16 * MiB })).activate()
  await kernel.write(volume.path, 0, 80 * BLOCK)
  expect(deleted).toHaveLength(1)
  expect(known).toContain(deleted[0])
  expect(errors).toEqual([])
  await until(() => full(pool))
  expect(await spares(pool)).not.toContain(deleted[0])
})

test('a keeper deletes no spare if the resume does not hang, or if the pool is not full', async () => {
  const { kernel, pool } = await poolOf(64)
  await using _ = await pool.keep(OPTIONS)
  await until(() => full(pool))
  let slowMs = 0
  const deleted = watched(kernel, () => new Promise(resolve => setTimeout(resolve, slowMs)))
  const volume = await (await pool.createVolume({ sizeBytes: 16 * MiB })).activate()
  await kernel.write(volume.path, 0, 80 * BLOCK)
  slowMs = 700
  await pool.grow({ dataBytes: 256 * BLOCK })
  expect(deleted).toEqual([])
})

test('volumes with an id of a spare that no keeper has made are listed, and stay', async () => {
  const { kernel, pool } = await poolOf(64)
  const ids = [MAX_THIN_ID - 2, MAX_THIN_ID - 1, MAX_THIN_ID]
  const [, written] = await Promise.all(ids.map(id => pool.createVolume({ id, sizeBytes: MiB })))
  await written!.activate()
  await kernel.write(written!.path, 0, BLOCK)
  await written!.deactivate()
  const keeper = await pool.keep(OPTIONS)
  await until(() => full(pool))
  expect((await pool.volumes()).map(({ id }) => id)).toEqual(ids)
  expect((await pool.usage()).map(({ id }) => id)).toEqual(ids)
  await keeper.stop()
  expect((await pool.volumes()).map(({ id }) => id)).toEqual(ids)
  expect(await used(pool)).toBe(1)
})

test('the next keeper has the spares of the one before it', async () => {
  const { kernel, pool } = await poolOf(64)
  const first = await pool.keep(OPTIONS)
  await until(() => full(pool))
  const known = await spares(pool)
  const other = await ThinPool.open({ name: pool.name, kernel })
  const second = await other.keep(OPTIONS)
  expect(second.active).toBe(false)
  await first.stop()
  await until(() => second.active)
  expect(await spares(other)).toEqual(known)
  await second.stop()
  expect(await used(pool)).toBe(0)
})
