// Activation and snapshots: each step made to fail in turn. The origin is never left suspended, no thin id is left.
// @udev both
import { MiB, ThinPool, type ThinVolume } from '../../../lib/entry/index.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import {
  attemptWith,
  EIO,
  expectNamed,
  failEach,
  noneAfter,
  stopAt,
  undone,
  useFaults,
  type Places,
} from '../../helpers/fault/fault.js'
import { snapshotKernelState } from '../../helpers/kernel/kernel-state.js'
import { lockIsWaitedFor } from '../../helpers/pool/waited-for.js'
import { withPool } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run } from '../../helpers/process/spawned.js'
import { dmInfo, dmRemove, dmStatus, dmTable } from '../../helpers/kernel/dmsetup.js'

useScratch()
const hooks = useFaults()
const RESUME_TRIES = 20

/** A pool with an active origin, and what must be the same after every fault. */
async function withOrigin(body: (pool: ThinPool, origin: ThinVolume, state: () => Promise<string>) => Promise<void>) {
  await withPool(async pool => {
    const origin = await (await pool.createVolume({ sizeBytes: 4 * MiB })).activate()
    const ids = async () => (await pool.volumes()).map(volume => volume.id).join(' ')
    await body(pool, origin, async () => `${await ids()}\n${await snapshotKernelState()}`)
  })
}

async function whileSuspended<T>(pool: ThinPool, act: () => Promise<T>): Promise<T> {
  run('dmsetup', ['suspend', pool.name])
  try {
    return await act()
  } finally {
    run('dmsetup', ['resume', pool.name])
  }
}

test('a failure of activate() at any step leaves no device', () =>
  withOrigin(async (pool, _origin, state) => {
    const volume = await pool.createVolume({ sizeBytes: MiB })
    const PLACES: Places[] = [
      ['DM_LIST_DEVICES', 1],
      ['DM_DEV_CREATE', 1],
      ['DM_TABLE_LOAD', 1],
      ['DM_DEV_RESUME', 1],
    ]
    const before = await state()
    for (const kind of ['fail', 'fail-after'] as const) {
      for (const place of kind === 'fail' ? PLACES : PLACES.slice(2)) {
        const outcome = await attemptWith(hooks, place, () => volume.activate(), { kind })
        expectNamed(outcome)
        const made = ['DM_TABLE_LOAD', 'DM_DEV_RESUME'].includes(outcome.operation)
        expect(undone(outcome)).toEqual(made ? ['DM_DEV_REMOVE'] : [])
        expect(outcome.fault!.code).toBe(made ? 'DM_TABLE_REFUSED' : 'DM_KERNEL')
        expect(volume.active).toBe(false)
        expect([outcome.where, await state()]).toEqual([outcome.where, before])
      }
    }
    await noneAfter(hooks, PLACES, () => volume.activate())
  }))

test('a failure of grow() at any step leaves the volume running at its old size', () =>
  withOrigin(async (_pool, origin, state) => {
    const PLACES: Places[] = [
      ['DM_TABLE_LOAD', 1],
      ['DM_DEV_RESUME', 1],
    ]
    const before = await state()
    const grow = () => origin.grow({ sizeBytes: 8 * MiB })
    for (const kind of ['fail', 'fail-after'] as const) {
      for (const place of PLACES) {
        const outcome = await attemptWith(hooks, place, grow, { kind })
        expectNamed(outcome)
        const steps = ['DM_TABLE_LOAD', 'DM_DEV_RESUME', 'DM_TABLE_CLEAR']
        expect(undone(outcome)).toEqual(outcome.operation === 'DM_TABLE_LOAD' ? steps.slice(2) : steps)
        expect(origin.sizeBytes).toBe(4 * MiB)
        expect([kind, outcome.where, await state()]).toEqual([kind, outcome.where, before])
      }
    }
    await noneAfter(hooks, PLACES, grow)
    expect(origin.sizeBytes).toBe(8 * MiB)
  }))

test('a snapshot of an origin that another program removes before it is suspended succeeds', () =>
  withOrigin(async (pool, origin) => {
    const suspend = stopAt(hooks, ['DM_DEV_SUSPEND', 1])
    const snapshot = origin.snapshot()
    await suspend.reached(snapshot)
    dmRemove(origin.name)
    suspend.release()
    const { id } = await snapshot
    expect((await pool.volumes()).map(volume => [volume.id, volume.active])).toEqual([
      [0, false],
      [id, false],
    ])
  }))

test('a volume that another call is activating counts as inactive until it has its table, and as active afterwards', () =>
  withOrigin(async pool => {
    const volume = await pool.createVolume({ sizeBytes: MiB })
    const { id } = volume
    const name = `${pool.name}-${id}`
    const other = await ThinPool.open(pool.name)
    const load = stopAt(hooks, ['DM_TABLE_LOAD', 1])
    const activation = volume.activate()
    await load.reached(activation)
    const seen = await other.volume(id, { sizeBytes: MiB })
    expect([seen.active, dmTable(name)]).toEqual([false, ''])
    // Whoever asks for it now waits for the one that is under way.
    const second = seen.activate()
    await lockIsWaitedFor(second)
    load.release()
    await expectCode(second, 'DM_ALREADY_ACTIVE')
    expect(dmTable(name)).toMatch(/^0 2048 thin /)
    expect((await other.volume(id)).active).toBe(true)
    await activation
    await other.close()
  }))

test('a failure of snapshot({ activate: true }) at any step resumes the origin, and leaves no device and no thin id', () =>
  withOrigin(async (_pool, origin, state) => {
    const take = () => origin.snapshot({ id: 50, activate: true })
    const PLACES: Places[] = [
      ['DM_DEV_STATUS', 2], // the pool; the origin
      ['DM_DEV_SUSPEND', 1],
      ['DM_TARGET_MSG', 1],
      ['DM_DEV_CREATE', 1],
      ['DM_TABLE_LOAD', 1],
    ]
    const before = await state()
    const judge = async (outcome: Awaited<ReturnType<typeof attemptWith>>) => {
      expectNamed(outcome)
      expect([outcome.where, dmInfo(origin.name)?.suspended]).toEqual([outcome.where, false])
      expect([outcome.where, await state()]).toEqual([outcome.where, before])
    }
    await failEach(hooks, PLACES, take, judge)
    const second = await attemptWith(hooks, ['DM_DEV_RESUME', 2], take) // the first is the origin's own
    await judge(second)
    expect(undone(second)).toEqual(['DM_DEV_REMOVE', 'delete 50'])

    // A resume that fails is tried again: the snapshot succeeds.
    const { fault, value } = await attemptWith(hooks, ['DM_DEV_RESUME', 1], take)
    expect(fault).toBeUndefined()
    expect(dmInfo(origin.name)?.suspended).toBe(false)
    await value!.destroy()
    expect(await state()).toBe(before)
  }))

test('a failure of a snapshot in a suspended pool at any step, also of the look at its status, leaves no thin id', () =>
  withOrigin(async (pool, _origin, state) => {
    const inactive = await pool.createVolume({ id: 40, sizeBytes: MiB })
    const before = await state()
    const take = () => whileSuspended(pool, () => inactive.snapshot({ id: 50 }))
    const PLACES: Places[] = [
      ['DM_DEV_STATUS', 2],
      ['DM_TARGET_MSG', 1],
      ['DM_TABLE_STATUS', 1], // the answer of a suspended pool does not show the commit
    ]
    await failEach(hooks, PLACES, take, async outcome => {
      expectNamed(outcome)
      expect(undone(outcome)).toEqual(outcome.operation === 'DM_TABLE_STATUS' ? ['delete 50'] : [])
      expect([outcome.where, await state()]).toEqual([outcome.where, before])
    })
    await (await noneAfter(hooks, PLACES, take)).delete()
    await inactive.delete()
  }))

test('an origin that cannot be resumed rejects with the error, its snapshots are deleted, and the next open resumes it', () =>
  withOrigin(async (pool, origin, state) => {
    const before = await state()
    for (let tries = 0; tries < RESUME_TRIES; tries++) hooks.setFault('DM_DEV_RESUME', 1, 'fail', EIO)
    const fault: unknown = await origin.snapshot({ id: 50 }).catch((reason: unknown) => reason)
    expect(hooks.clearFaults()).toBe(0)
    expect(fault).toMatchObject({ operation: 'DM_DEV_RESUME', errno: EIO })
    expect(fault).toMatchObject({ rollback: [{ operation: 'delete 50', device: pool.name, errno: 0 }] })
    expect(dmInfo(origin.name)?.suspended).toBe(true)
    const again = await ThinPool.open(pool.name)
    expect(again.findings).toEqual([{ kind: 'suspended-volume', device: origin.name, action: 'resumed' }])
    expect(await state()).toBe(before)
  }))

test('snapshotMany rejects one item for a failed message, and the call for a failed suspend', () =>
  withOrigin(async (pool, origin, state) => {
    const before = await state()
    for (const nth of [1, 2, 3]) {
      const { value, fault } = await attemptWith(hooks, ['DM_TARGET_MSG', nth], () => pool.snapshotMany(origin, 3))
      expect(fault).toBeUndefined()
      expect(value!.map(item => item.status === 'fulfilled')).toEqual([1, 2, 3].map(place => place !== nth))
      expect(value![nth - 1]).toMatchObject({ reason: { operation: 'DM_TARGET_MSG', errno: EIO } })
      for (const item of value!) if (item.status === 'fulfilled') await item.volume.delete()
      expect(await state()).toBe(before)
    }
    const PLACES: Places[] = [
      ['DM_DEV_STATUS', 2],
      ['DM_DEV_SUSPEND', 1],
    ]
    await failEach(
      hooks,
      PLACES,
      () => pool.snapshotMany(origin, 3),
      async outcome => {
        expectNamed(outcome)
        expect(await state()).toBe(before)
      },
    )
  }))

test('createVolume deletes the volume if the commit cannot be verified, and reports it', () =>
  withOrigin(async (pool, _origin, state) => {
    const before = await state()
    const PLACES: Places[] = [
      ['DM_TARGET_MSG', 1],
      ['DM_TABLE_STATUS', 1], // the answer of a suspended pool does not show the commit
    ]
    const create = () => whileSuspended(pool, () => pool.createVolume({ id: 9, sizeBytes: MiB }))
    await failEach(hooks, PLACES, create, async outcome => {
      expectNamed(outcome)
      expect(undone(outcome)).toEqual(outcome.operation === 'DM_TABLE_STATUS' ? ['delete 9'] : [])
      expect([outcome.where, await state()]).toEqual([outcome.where, before])
    })
    await (await noneAfter(hooks, PLACES, create)).delete()
  }))

test('concurrent snapshots of one origin send each message while the origin is suspended', () =>
  withOrigin(async (_pool, origin) => {
    // The second message waits. By the time it is sent, the first call has resumed what it had suspended.
    const second = stopAt(hooks, ['DM_TARGET_MSG', 2])
    const calls = [origin.snapshot({ id: 50 }), origin.snapshot({ id: 51 })]
    const all = Promise.all(calls)
    await second.reached(all)
    await Promise.race(calls)
    expect(dmInfo(origin.name)?.suspended).toBe(true)
    second.release()
    await all
    expect(dmInfo(origin.name)?.suspended).toBe(false)
    expect(dmStatus(origin.name)).toMatch(/ thin /)
  }))

test('activate() of an inactive origin waits for the end of its snapshot', () =>
  withOrigin(async pool => {
    const origin = await pool.createVolume({ sizeBytes: MiB })
    const message = stopAt(hooks, ['DM_TARGET_MSG', 1])
    const snapshot = pool.snapshotMany(origin, 1)
    await message.reached(snapshot)
    const activation = origin.activate()
    await lockIsWaitedFor(activation)
    expect(dmInfo(origin.name)).toBeUndefined()
    message.release()
    await snapshot
    await activation
    expect(dmInfo(origin.name)?.suspended).toBe(false)
  }))
