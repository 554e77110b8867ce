import { DmThinError, ERRNO } from '../../../lib/base/errors'
import { ThinIds } from '../../../lib/pool/state/thin-ids'
import { LAST_CHOSEN_THIN_ID, MAX_THIN_ID } from '../../../lib/base/units'
import { seeded } from '../../helpers/random/random'
import { rejection } from '../../helpers/errors/thrown'

const idsOf = (...existing: number[]) => new ThinIds(() => Promise.resolve(existing))
const taken = new DmThinError('DM_VOLUME_EXISTS', 'exists', { errno: ERRNO.EEXIST })
const full = new DmThinError('DM_POOL_FULL', 'full', { errno: ERRNO.ENOSPC })

test('take() skips ids that exist', async () => {
  expect(await idsOf(0, 1, 3).take(3)).toEqual([2, 4, 5])
})

test('take() lists the existing ids once, and again only if the list failed', async () => {
  let asked = 0
  const ids = new ThinIds(() => (++asked === 1 ? Promise.reject(full) : Promise.resolve([0])))
  expect(await rejection(() => ids.take(1))).toBe(full)
  expect(await ids.take(1)).toEqual([1])
  expect(await ids.take(1)).toEqual([2])
  expect(asked).toBe(2)
})

test('withNew() relies on the kernel if the ids could not be listed, and lists them again with the next call', async () => {
  const busy = new DmThinError('DM_METADATA_BUSY', 'busy')
  let asked = 0
  const ids = new ThinIds(() => (++asked === 1 ? Promise.reject(busy) : Promise.resolve([0, 1, 2])))
  const make = (id: number) => (id === 0 ? Promise.reject(taken) : Promise.resolve(id))
  expect(await ids.withNew(undefined, make)).toBe(3)
  expect(asked).toBe(2)
})

test('take() continues after the last id, and reuses freed ids only after it wraps around', async () => {
  const ids = idsOf()
  expect(await ids.take(2)).toEqual([0, 1])
  ids.free(0)
  expect(await ids.take(1)).toEqual([2])
})

test('take() wraps around to the first free id, and rejects with DM_POOL_FULL if there is none', async () => {
  const ids = new ThinIds(() => Promise.resolve([0, 3, 15]), 15)
  await ids.take(10)
  expect(await ids.take(3)).toEqual([12, 13, 14])
  expect(await rejection(() => ids.take(1))).toMatchObject({ code: 'DM_POOL_FULL' })
  ids.free(7)
  expect(await rejection(() => ids.take(2))).toMatchObject({ code: 'DM_POOL_FULL' })
  expect(await ids.take(1)).toEqual([7])
})

test('take() has the 24-bit ids as its limit, without those of spare volumes', async () => {
  const ids = idsOf(0)
  for (const id of [1, 2, MAX_THIN_ID]) ids.use(id)
  expect(await rejection(() => ids.take(LAST_CHOSEN_THIN_ID - 1))).toMatchObject({ code: 'DM_POOL_FULL' })
})

describe('withNew()', () => {
  test('tries the next id as long as the kernel reports that the id exists', async () => {
    const ids = idsOf()
    const tried: number[] = []
    const made = await ids.withNew(undefined, id => {
      tried.push(id)
      return id < 3 ? Promise.reject(taken) : Promise.resolve(`volume ${id}`)
    })
    expect([made, tried]).toEqual(['volume 3', [0, 1, 2, 3]])
  })

  test('frees an id that was not used, and passes any other error on', async () => {
    const ids = new ThinIds(() => Promise.resolve([1, 2, 3]), 3)
    expect(await rejection(() => ids.withNew(undefined, () => Promise.reject(full)))).toBe(full)
    expect(await ids.take(1)).toEqual([0])
  })
})

test('concurrent calls of take() never return the same id', async () => {
  const random = seeded(7)
  const existing = Array.from({ length: 200 }, () => random.integer(0, 500))
  const ids = new ThinIds(async () => {
    await new Promise(setImmediate)
    return existing
  })
  const calls = Array.from({ length: 100 }, () => ids.take(random.integer(1, 9)))
  const all = (await Promise.all(calls)).flat()
  expect(new Set(all).size).toBe(all.length)
  expect(all.filter(id => existing.includes(id))).toEqual([])
})

test('volumes with an id above the last chosen one take none of the ids', async () => {
  const ids = new ThinIds(() => Promise.resolve([0, 4, 5]), 3)
  ids.use(6)
  expect(await ids.take(3)).toEqual([1, 2, 3])
  await expect(ids.take(1)).rejects.toMatchObject({ code: 'DM_POOL_FULL' })
})
