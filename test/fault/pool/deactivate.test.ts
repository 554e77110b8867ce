// The removal of a volume's device: suspend, then remove. It is never left suspended, and never suspended while it is open.
// @udev both
import { closeSync, openSync } from 'node:fs'
import { signalOption } from '../../../lib/base/options.js'
import { MiB, ThinPool, type ThinVolume } from '../../../lib/entry/index.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import {
  attemptWith,
  EIO,
  expectNamed,
  failEach,
  noneAfter,
  stopAt,
  useFaults,
  type Places,
} from '../../helpers/fault/fault.js'
import { seedOf, writeBlock } from '../../helpers/kernel/blocks.js'
import { dmInfo, dmLoad, dmResume, dmSuspend, dmTable } from '../../helpers/kernel/dmsetup.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { withPool } from '../../helpers/pool/pools.js'
import { lockIsWaitedFor } from '../../helpers/pool/waited-for.js'

useScratch()
const hooks = useFaults()
const SEED = 5
const RESUME_TRIES = 20
const AT_ONCE = { timeoutMs: 0 }

const withVolume = (body: (volume: ThinVolume, pool: ThinPool) => Promise<void>) =>
  withPool(async pool => body(await (await pool.createVolume({ sizeBytes: 4 * MiB })).activate(), pool))

/** The device is live and takes I/O. */
async function expectUsable(volume: ThinVolume): Promise<void> {
  expect([volume.active, dmInfo(volume.name)?.suspended]).toEqual([true, false])
  await writeBlock(volume.path, 0, SEED)
  expect(await seedOf(volume.path, 0, [SEED])).toBe(SEED)
}

test('a failure of deactivate() at any step leaves the volume active and not suspended', () =>
  withVolume(async volume => {
    const PLACES: Places[] = [
      ['DM_DEV_STATUS', 1],
      ['lock thin', 1],
      ['DM_DEV_SUSPEND', 1],
      ['DM_DEV_REMOVE', 1],
    ]
    const deactivate = () => volume.deactivate(AT_ONCE)
    await failEach(hooks, PLACES, deactivate, async outcome => {
      expectNamed(outcome)
      await expectUsable(volume)
    })
    await noneAfter(hooks, PLACES, deactivate)
    expect(dmInfo(volume.name)).toBeUndefined()
  }))

test('deactivate() of an open volume rejects with DM_BUSY and does not suspend it', () =>
  withVolume(async volume => {
    const holder = openSync(volume.path, 'r')
    hooks.setFault('DM_DEV_SUSPEND', 1, 'fail', EIO)
    await expectCode(volume.deactivate(AT_ONCE), 'DM_BUSY')
    expect(hooks.clearFaults()).toBe(1)
    await expectUsable(volume)
    closeSync(holder)
    await volume.deactivate()
  }))

test.each(['DM_DEV_SUSPEND', 'DM_DEV_REMOVE'])(
  'deactivate() of a volume that is opened before %s rejects with DM_BUSY and resumes it',
  operation =>
    withVolume(async volume => {
      const stop = stopAt(hooks, [operation, 1])
      const call = volume.deactivate(AT_ONCE)
      await stop.reached(call)
      const holder = openSync(volume.path, 'r')
      stop.release()
      await expectCode(call, 'DM_BUSY')
      await expectUsable(volume)
      closeSync(holder)
      await volume.deactivate()
    }),
)

test('a volume that cannot be resumed after a failed removal is named by the error, and the next open resumes it', () =>
  withVolume(async (volume, pool) => {
    hooks.setFault('DM_DEV_REMOVE', 1, 'fail', EIO)
    for (let tries = 0; tries < RESUME_TRIES; tries++) hooks.setFault('DM_DEV_RESUME', 1, 'fail', EIO)
    const fault: unknown = await volume.deactivate(AT_ONCE).catch((reason: unknown) => reason)
    expect(hooks.clearFaults()).toBe(0)
    expect(fault).toMatchObject({ operation: 'DM_DEV_REMOVE', errno: EIO })
    expect(fault).toMatchObject({ rollback: [{ operation: 'DM_DEV_RESUME', errno: EIO }] })
    expect(dmInfo(volume.name)?.suspended).toBe(true)
    const again = await ThinPool.open(pool.name)
    expect(again.findings).toEqual([{ kind: 'suspended-volume', device: volume.name, action: 'resumed' }])
    await expectUsable(volume)
  }))

test('a resume that fails after a failed removal is tried again', () =>
  withVolume(async volume => {
    hooks.setFault('DM_DEV_RESUME', 1, 'fail', EIO)
    const { fault } = await attemptWith(hooks, ['DM_DEV_REMOVE', 1], () => volume.deactivate(AT_ONCE))
    expect(fault).toMatchObject({ operation: 'DM_DEV_REMOVE', rollback: [] })
    await expectUsable(volume)
  }))

test('deactivate() of an origin waits for the end of its snapshot', () =>
  withVolume(async (origin, pool) => {
    const message = stopAt(hooks, ['DM_TARGET_MSG', 1])
    const snapshot = pool.snapshotMany(origin, 1)
    await message.reached(snapshot)
    const other = await pool.volume(origin.id)
    const removal = other.deactivate()
    await lockIsWaitedFor(removal)
    expect(dmInfo(origin.name)?.suspended).toBe(true)
    message.release()
    expect(await snapshot).toMatchObject([{ status: 'fulfilled' }])
    await removal
    expect(dmInfo(origin.name)).toBeUndefined()
  }))

test('deactivate() removes a volume that another program has suspended', () =>
  withVolume(async volume => {
    hooks.setFault('DM_DEV_SUSPEND', 1, 'fail', EIO)
    dmSuspend(volume.name)
    await volume.deactivate(AT_ONCE)
    expect(hooks.clearFaults()).toBe(1)
    expect(dmInfo(volume.name)).toBeUndefined()
  }))

/** A removal that has suspended its volume, and an open of the pool that waits for it. */
const withWaitingOpen = (
  body: (parts: {
    volume: ThinVolume
    removal: Promise<void>
    opening: Promise<ThinPool>
    release: () => void
  }) => Promise<void>,
  signal?: AbortSignal,
) =>
  withVolume(async (volume, pool) => {
    const stop = stopAt(hooks, ['DM_DEV_REMOVE', 1])
    const removal = volume.deactivate(AT_ONCE)
    await stop.reached(removal)
    const opening = ThinPool.open({ name: pool.name, ...signalOption(signal) })
    await lockIsWaitedFor(opening)
    await body({ volume, removal, opening, release: () => stop.release() })
  })

test('open() between suspend and removal waits for the removal and reports nothing', () =>
  withWaitingOpen(async ({ volume, removal, opening, release }) => {
    expect(dmInfo(volume.name)?.suspended).toBe(true)
    release()
    await removal
    expect((await opening).findings).toEqual([])
    expect(dmInfo(volume.name)).toBeUndefined()
  }))

test('open() waits for the removal of a volume whose device has the content of another id, as within a reset', () =>
  withVolume(async (volume, pool) => {
    const { id } = await pool.createVolume({ sizeBytes: 4 * MiB })
    dmLoad(volume.name, dmTable(volume.name).replace(/\d+$/, `${id}`))
    dmResume(volume.name)
    const stop = stopAt(hooks, ['DM_DEV_REMOVE', 1])
    const removal = volume.deactivate(AT_ONCE)
    await stop.reached(removal)
    const opening = ThinPool.open(pool.name)
    await lockIsWaitedFor(opening)
    stop.release()
    await removal
    expect((await opening).findings).toEqual([])
  }))

test('open() between suspend and a removal that fails reports nothing, because the removal resumes the volume', () =>
  withWaitingOpen(async ({ volume, removal, opening, release }) => {
    const holder = openSync(volume.path, 'r')
    release()
    await expectCode(removal, 'DM_BUSY')
    expect((await opening).findings).toEqual([])
    closeSync(holder)
    await expectUsable(volume)
  }))

test('the signal of open() ends its wait for a removal', () => {
  const controller = new AbortController()
  return withWaitingOpen(async ({ volume, removal, opening, release }) => {
    controller.abort()
    await expectCode(opening, 'ABORT_ERR')
    release()
    await removal
    expect(dmInfo(volume.name)).toBeUndefined()
  }, controller.signal)
})
