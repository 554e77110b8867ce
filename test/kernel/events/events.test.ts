// Scenario                                                  Test
// stratisd#79 events without a thread per device            a watch reports each of 200 …
// K  arm, list, compare, poll: nothing missed               a watch reports each of 200 …
// K  low water fires once, re-arms at resume                a watch of a pool reports …
// @udev both
import { readdirSync } from 'node:fs'
import { KiB, MiB, watchDevices, type DeviceEvent, type PoolEvent } from '../../../lib/entry/index.js'
import { DeviceMapper } from '../../../lib/entry/kernel.js'
import { writeBlock } from '../../helpers/kernel/blocks.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { MARK } from '../../helpers/kernel/kernel-state.js'
import { withPool } from '../../helpers/pool/pools.js'
import { inKernel } from '../../helpers/process/in-kernel.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { dmCreate, dmRemove, dmResume, dmSuspend } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()

const until = async <T>(events: AsyncIterable<T>, isLast: (event: T) => boolean): Promise<T[]> => {
  const seen: T[] = []
  for await (const event of events) {
    seen.push(event)
    if (isLast(event)) break
  }
  return seen
}
const short = (event: DeviceEvent | { type: 'overflow' }) =>
  'name' in event ? `${event.type} ${event.name.slice(MARK.length)}` : event.type

test('a watch reports devices that dmsetup creates and removes once, in order, to every listener', async () => {
  const [first, second] = [scratch.name('first'), scratch.name('second')]
  const prefix = { namePrefix: MARK }
  const [all, one] = [watchDevices(prefix), watchDevices({ namePrefix: second })]
  await Promise.all([all.ready, one.ready])
  dmCreate(first, '0 8 zero')
  const early = await until(all, event => event.type === 'added')
  expect(early).toMatchObject([{ type: 'added', name: first, uuid: '' }])
  const emitted: string[] = []
  const later = watchDevices(prefix)
  later.on('change', event => emitted.push(short(event)))
  await later.ready
  dmCreate(second, '0 8 zero')
  dmRemove(first)
  dmRemove(second)
  await until(one, event => event.type === 'removed')
  while (!emitted.includes(`removed ${second.slice(MARK.length)}`)) await new Promise(setImmediate)
  expect(new Set(emitted).size).toBe(emitted.length)
  expect(emitted.some(text => text.endsWith(first.slice(MARK.length)) && text.startsWith('removed'))).toBe(true)
  later.close()
  expect(one.closed && all.closed && later.closed).toBe(true)
})

test('a watch reports a rename with the previous name', async () => {
  const dm = await DeviceMapper.open()
  const [name, next] = [scratch.name('name'), scratch.name('next')]
  dmCreate(name, '0 8 zero')
  const watch = watchDevices({ namePrefix: MARK })
  await watch.ready
  await dm.rename(name, next)
  const [renamed] = await until(watch, event => event.type === 'renamed')
  expect(renamed).toMatchObject({ type: 'renamed', name: next, previousName: name })
  dmRemove(next)
})

test('a watch reports each of 200 devices that are created and removed, with one descriptor for all watches', async () => {
  const dm = await DeviceMapper.open()
  const watches = Array.from({ length: 5 }, () => watchDevices({ namePrefix: MARK }))
  await Promise.all(watches.map(watch => watch.ready))
  const descriptors = () => readdirSync('/proc/self/fd').length
  const before = descriptors()
  const names = Array.from({ length: 200 }, (_, at) => scratch.name(`storm-${at}`))
  const last = scratch.name('last')
  const readers = watches.map(watch => until(watch, event => event.type === 'removed' && event.name === last))
  for (const name of names) await dm.create({ name })
  expect(descriptors()).toBe(before)
  await Promise.all(names.map(name => dm.remove(name, { timeoutMs: 5_000 })))
  await dm.create({ name: last })
  while (!(await dm.listDevices({ namePrefix: last })).length) await new Promise(setImmediate)
  // Made and gone within one look there is nothing to tell; so the last one stays until it has been told of.
  const told = watchDevices({ namePrefix: last })
  await told.ready
  await dm.remove(last)
  for (const events of await Promise.all(readers)) {
    const present = new Set<string>()
    for (const event of events) {
      expect(event.type).not.toBe('overflow')
      if (!('name' in event)) continue
      if (event.type === 'added') {
        expect(present.has(event.name)).toBe(false)
        present.add(event.name)
      } else if (event.type === 'removed') {
        expect(present.delete(event.name)).toBe(true)
      }
    }
    expect([...present]).toEqual([])
  }
  told.close()
})

test('a watch ends if it is aborted, closed, or its loop is left, and the last watch releases the descriptor', async () => {
  const controller = new AbortController()
  const watch = watchDevices({ signal: controller.signal })
  await watch.ready
  const reading = until(watch, () => false)
  controller.abort()
  expect(await reading).toEqual([])
  const aborted = watchDevices({ signal: controller.signal })
  await aborted.ready
  expect(aborted.closed).toBe(true)
  const other = watchDevices()
  await other.ready
  other.close()
  other.close()
  expect(await until(other, () => false)).toEqual([])
})

test('a watch of a pool reports low water, the full pool, its growth and its removal', async () => {
  const blocks = 16
  await withPool({ dataBytes: blocks * 64 * KiB, lowWaterMarkBlocks: 8 }, async (pool, { name }) => {
    const volume = await (await pool.createVolume({ sizeBytes: 4 * MiB })).activate()
    const watch = pool.events()
    await watch.ready
    const events: PoolEvent[] = []
    watch.on('change', event => events.push(event))
    const seen = async (type: PoolEvent['type']) => {
      while (!events.some(event => event.type === type)) await new Promise(setImmediate)
      return events.find(event => event.type === type)!
    }
    for (let block = 0; block < 10; block++) await writeBlock(volume.path, block, 1)
    expect(await seen('low-water')).toMatchObject({ initial: false, status: { mode: 'rw' } })
    dmSuspend(name)
    dmResume(name)
    scratch.log.allow(/reached low water mark|out of data space|switching pool|growing the data device|no free data/i)
    for (let block = 10; block < 16; block++) await writeBlock(volume.path, block, 1)
    const writing = writeBlock(volume.path, 16, 1)
    expect(await seen('mode')).toMatchObject({ from: 'rw', to: 'out_of_data_space' })
    // A write that the resume of the pool meets on its way waits until it fails: docs/space.md.
    while (inKernel() === 0) await new Promise(setImmediate)
    await pool.grow({ dataBytes: 4 * blocks * 64 * KiB })
    await writing
    const late = pool.events()
    await late.ready
    await volume.deactivate()
    await pool.remove()
    expect(watch.closed && late.closed).toBe(true)
    expect(events.filter(event => event.type === 'low-water').length).toBe(1)
  })
})

test('a watch of a pool reports existing conditions first, and ends if another program removes the pool', async () => {
  await withPool({ dataBytes: 4 * 64 * KiB, lowWaterMarkBlocks: 4 }, async (pool, { name }) => {
    const watch = pool.events()
    await watch.ready
    dmRemove(name)
    const events = await until(watch, () => false)
    expect(events.map(event => event.type)).toEqual(['low-water', 'removed'])
    expect(events[0]).toMatchObject({ initial: true })
    await expectCode(pool.status(), 'DM_NOT_FOUND')
  })
})
