import { DmThinError, ERRNO } from '../../../lib/base/errors'
import { ThinIds } from '../../../lib/pool/state/thin-ids'
import { MAX_THIN_ID } from '../../../lib/base/units'
import { seeded } from '../../helpers/random/random'
import { rejection } from '../../helpers/errors/thrown'

const idsOf = (...existing: number[]) => new ThinIds(() => Promise.resolve(existing))
const taken = new DmThinError('DM_VOLUME_EXISTS', 'exists', { errno: ERRNO.EEXIST })
const full = new DmThinError('DM_POOL_FULL', 'full', { errno: ERRNO.ENOSPC })

test('the ids that exist are passed over', async () => {
  expect(await idsOf(0, 1, 3).take(3)).toEqual([2, 4, 5])
})

test('what exists is asked for once, and again only if that failed', async () => {
  let asked = 0
  const ids = new ThinIds(() => (++asked === 1 ? Promise.reject(full) : Promise.resolve([0])))
  expect(await rejection(() => ids.take(1))).toBe(full)
  expect(await ids.take(1)).toEqual([1])
  expect(await ids.take(1)).toEqual([2])
  expect(asked).toBe(2)
})

test('where others commit faster than can be read, the kernel alone says what is taken, and is read again next time', async () => {
  const busy = new DmThinError('DM_METADATA_BUSY', 'busy')
  let asked = 0
  const ids = new ThinIds(() => (++asked === 1 ? Promise.reject(busy) : Promise.resolve([0, 1, 2])))
  const make = (id: number) => (id === 0 ? Promise.reject(taken) : Promise.resolve(id))
  expect(await ids.withNew(undefined, make)).toBe(3)
  expect(asked).toBe(2)
})

test('an id that is free again is not the next one: the counter goes on until it comes round', async () => {
  const ids = idsOf()
  expect(await ids.take(2)).toEqual([0, 1])
  ids.free(0)
  expect(await ids.take(1)).toEqual([2])
})

test('after the last id comes the first that is free; when none is, the pool is full', async () => {
  const ids = new ThinIds(() => Promise.resolve([0, 3, 15]), 15)
  await ids.take(10)
  expect(await ids.take(3)).toEqual([12, 13, 14])
  expect(await rejection(() => ids.take(1))).toMatchObject({ code: 'DM_POOL_FULL' })
  ids.free(7)
  expect(await rejection(() => ids.take(2))).toMatchObject({ code: 'DM_POOL_FULL' })
  expect(await ids.take(1)).toEqual([7])
})

test('the last id is that of 24 bits', async () => {
  const ids = idsOf(0)
  for (const id of [1, 2, MAX_THIN_ID]) ids.use(id)
  expect(await rejection(() => ids.take(MAX_THIN_ID - 2))).toMatchObject({ code: 'DM_POOL_FULL' })
})

describe('making a volume', () => {
  test('another id is taken for as long as the kernel says that one exists', async () => {
    const ids = idsOf()
    const tried: number[] = []
    const made = await ids.withNew(undefined, id => {
      tried.push(id)
      return id < 3 ? Promise.reject(taken) : Promise.resolve(`volume ${id}`)
    })
    expect([made, tried]).toEqual(['volume 3', [0, 1, 2, 3]])
  })

  test('an id that was not used is given back, and any other refusal is passed on', async () => {
    const ids = new ThinIds(() => Promise.resolve([1, 2, 3]), 3)
    expect(await rejection(() => ids.withNew(undefined, () => Promise.reject(full)))).toBe(full)
    expect(await ids.take(1)).toEqual([0])
  })
})

test('calls at the same time never get the same id', async () => {
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
