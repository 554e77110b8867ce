// The values that pool objects give to their snapshots, and the least clock of the pool that they show.
import fc from 'fast-check'
import {
  leastSnapshotTime,
  SNAPSHOT_LIMIT,
  SNAPSHOT_MARGIN,
  SnapshotClock,
} from '../../../lib/pool/state/snapshot-clock'
import { everywhereLater, holds } from '../../helpers/random/properties'

/** A clock from which on each call reads the superblock first. */
const NEAR = SNAPSHOT_LIMIT - SNAPSHOT_MARGIN

/** A pool whose clock only snapshots advance. */
class Pool {
  time: number

  constructor(time: number) {
    this.time = time
  }

  /** The clock of another pool object. `step` is awaited before and after the superblock is read. */
  object(step: () => Promise<unknown> = () => Promise.resolve()): SnapshotClock {
    return new SnapshotClock(async () => {
      await step()
      const { time } = this
      await step()
      return time
    })
  }

  /** Takes one snapshot for each item of `succeed` in one call. Returns the values of those that succeeded. */
  snapshots(
    clock: SnapshotClock,
    succeed: readonly boolean[],
    step: () => Promise<unknown> = () => Promise.resolve(),
  ): Promise<(number | undefined)[]> {
    return clock.counted('pool', succeed.length, async completed => {
      await step()
      const made = succeed.filter(succeeds => succeeds)
      this.time += made.length
      await step()
      return made.map(() => completed())
    })
  }
}

/** A promise that the caller resolves. */
function gate(): { readonly passed: Promise<void>; readonly open: () => void } {
  let open = () => {}
  const passed = new Promise<void>(resolve => (open = resolve))
  return { passed, open }
}

describe('SnapshotClock', () => {
  test('counts each snapshot that succeeded from the time in the superblock on', async () => {
    const pool = new Pool(10)
    const clock = pool.object()
    expect(await pool.snapshots(clock, [true])).toEqual([11])
    expect(await pool.snapshots(clock, [false])).toEqual([])
    const rejected = clock.counted('pool', 1, () => Promise.reject(new Error('no')))
    await expect(rejected).rejects.toThrow('no')
    expect(await pool.snapshots(clock, [true, false, true])).toEqual([12, 13])
    expect(pool.time).toBe(13)
  })

  test('gives no value while the superblock cannot be read, and continues after a read that fails', async () => {
    let time: number | undefined
    const clock = new SnapshotClock(() => Promise.resolve(time))
    const one = () =>
      clock.counted('pool', 1, completed => {
        if (time !== undefined) time += 1
        return Promise.resolve(completed())
      })
    expect(await one()).toBeUndefined()
    time = NEAR
    expect(await one()).toBe(NEAR + 1)
    time = undefined
    expect(await one()).toBe(NEAR + 2)
  })

  test('counts a snapshot that completes after the next read of the superblock in the reading before', async () => {
    for (const isInTime of [true, false]) {
      const pool = new Pool(NEAR)
      const clock = pool.object()
      const [before, after] = [gate(), gate()]
      const slow = clock.counted('pool', 1, async completed => {
        if (!isInTime) await before.passed
        pool.time += 1
        await after.passed
        return completed()
      })
      await new Promise(setImmediate)
      const [fast] = await pool.snapshots(clock, [true])
      before.open()
      after.open()
      const values = [await slow, fast!] as number[]
      expect(values).toEqual(isInTime ? [NEAR + 1, NEAR + 2] : [NEAR + 1, NEAR + 1])
      expect(leastSnapshotTime(values)).toBe(pool.time)
    }
  })
})

describe('leastSnapshotTime', () => {
  test('adds the values of pool objects that read the same time', async () => {
    const pool = new Pool(10)
    const [one, other] = [pool.object(), pool.object()]
    await Promise.all([one, other].map(clock => pool.snapshots(clock, [false])))
    const values: number[] = []
    for (const clock of [one, other, one]) values.push(...((await pool.snapshots(clock, [true])) as number[]))
    expect(values).toEqual([11, 11, 12])
    expect(leastSnapshotTime(values)).toBe(13)
    expect(leastSnapshotTime([])).toBe(0)
  })

  /** The calls of each pool object: concurrent lists of calls that follow each other. `true`: a snapshot that succeeds. */
  const calls = fc.array(
    fc.array(fc.array(fc.boolean(), { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 3 }),
    { minLength: 1, maxLength: 3 },
  )
  const runs = fc.record({
    scheduler: fc.scheduler(),
    start: fc.constantFrom(0, 7, NEAR - 2, NEAR),
    objects: fc.array(calls, { minLength: 1, maxLength: 3 }),
    kept: fc.infiniteStream(fc.boolean()),
  })

  test('is never above the clock, whichever layers were removed, and finds each loss of the last snapshots', () =>
    everywhereLater(400, runs, async ({ scheduler, start, objects, kept }) => {
      const pool = new Pool(start)
      const step = () => scheduler.schedule(Promise.resolve())
      const values: number[] = []
      const inTurn = async (clock: SnapshotClock, list: readonly (readonly boolean[])[]) => {
        for (const succeed of list) {
          values.push(...((await pool.snapshots(clock, succeed, step)) as number[]))
          // As a process that reads the records first, and then the pool.
          holds(leastSnapshotTime(values) <= pool.time, { values, time: pool.time })
        }
      }
      const all = objects.map(lists => {
        const clock = pool.object(step)
        return Promise.all(lists.map(list => inTurn(clock, list)))
      })
      await scheduler.waitFor(Promise.all(all))
      const left = values.filter(() => kept.next().value)
      holds(leastSnapshotTime(left) <= pool.time, { left, time: pool.time })
      // A pool that has lost the last of these snapshots, or more, has a lower clock.
      if (values.length > 0) holds(leastSnapshotTime(values) === pool.time, { values, time: pool.time })
    }))

  test('is the clock of the last layer that is left if one process makes one snapshot at a time', () =>
    everywhereLater(200, fc.tuple(fc.constantFrom(0, NEAR), fc.array(fc.boolean())), async ([start, kept]) => {
      const pool = new Pool(start)
      const clock = pool.object()
      const left: number[] = []
      for (const isKept of kept) {
        const [value] = await pool.snapshots(clock, [true])
        if (isKept) left.push(value!)
      }
      const last = kept.lastIndexOf(true)
      holds(leastSnapshotTime(left) === (last < 0 ? 0 : start + last + 1), left)
    }))
})
