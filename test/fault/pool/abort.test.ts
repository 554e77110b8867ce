// An AbortSignal at each step of the compound calls, which waits for the abort: the call then either rejects with AbortError and everything is as before, or it was past the point of no return
// and succeeds. Nothing is ever left suspended.
// @udev both
import { open } from 'node:fs/promises'
import { mkdirSync, rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { DmThinError, LoopDevice, MiB, ThinPool } from '../../../lib/entry/index.js'
import { DeviceMapper } from '../../../lib/entry/kernel.js'
import { filesIn, stopAt, useFaults, type Hooks, type Places } from '../../helpers/fault/fault.js'
import { markedLoops, snapshotKernelState } from '../../helpers/kernel/kernel-state.js'
import { takeDown, withPool } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { dmCreate, dmInfo, dmRemove } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()
const hooks = useFaults()
const ABORT_AFTER_MS = 200

/** Aborts `attempt` before one of its steps. Gives its value, or undefined when it rejected with AbortError. */
async function abortAt<T>(
  hook: Hooks,
  place: Places,
  attempt: (signal: AbortSignal) => Promise<T>,
): Promise<T | undefined> {
  const controller = new AbortController()
  const reason = new Error('given up by the test')
  const stop = stopAt(hook, place)
  const call = attempt(controller.signal)
  await stop.reached(call)
  controller.abort(reason)
  stop.release()
  try {
    return await call
  } catch (fault) {
    expect(fault).toBeInstanceOf(DmThinError)
    expect(fault).toMatchObject({ name: 'AbortError', code: 'ABORT_ERR', cause: reason })
    expect((fault as DmThinError).rollback.filter(step => step.errno !== 0)).toEqual([])
    return undefined
  } finally {
    hook.clearFaults()
  }
}

const PAST_RETURN: string[] = []

test('an abort at any step of ThinPool.create leaves a complete pool or nothing', async () => {
  const folder = scratch.path(scratch.name('abort'))
  mkdirSync(folder)
  const name = scratch.name('abort')
  const create = (signal: AbortSignal) =>
    ThinPool.create({
      name,
      data: { file: `${folder}/data`, sizeBytes: 16 * MiB },
      metadata: { file: `${folder}/metadata`, sizeBytes: 2 * MiB },
      signal,
    })
  const before = await snapshotKernelState()
  const places: Places[] = [
    ['DM_DEV_STATUS', 1],
    ['create file', 1],
    ['ftruncate', 4],
    ['LOOP_CTL_GET_FREE', 1],
    ['LOOP_CONFIGURE', 2],
    ['pread', 20],
    ['DM_DEV_CREATE', 1],
    ['DM_TABLE_LOAD', 1],
    ['DM_DEV_RESUME', 1],
    ['DM_TABLE_STATUS', 1],
  ]
  for (const place of places) {
    const pool = await abortAt(hooks, place, create)
    if (pool) {
      PAST_RETURN.push(place[0])
      expect(dmInfo(name)?.suspended).toBe(false)
      await pool.remove({ deleteFiles: true })
    }
    expect([place, await snapshotKernelState()]).toEqual([place, before])
    expect([place, filesIn(folder)]).toEqual([place, []])
  }
  expect(PAST_RETURN).not.toContain('DM_DEV_CREATE')
  await takeDown(name)
  rmSync(folder, { recursive: true })
})

test('an abort at any step of activate() leaves the volume active or inactive', () =>
  withPool(async pool => {
    await (await pool.createVolume({ sizeBytes: MiB })).activate()
    const volume = await pool.createVolume({ sizeBytes: MiB })
    const before = await snapshotKernelState()
    const places: Places[] = [
      ['flock', 1],
      ['DM_LIST_DEVICES', 1],
      ['DM_DEV_CREATE', 1],
      ['DM_TABLE_LOAD', 1],
      ['DM_DEV_RESUME', 1],
    ]
    for (const place of places) {
      const active = await abortAt(hooks, place, signal => volume.activate({ signal }))
      expect([place, volume.active]).toEqual([place, active !== undefined])
      if (active) await volume.deactivate()
      // Up to the last step it must have been given up.
      if (place[0] !== 'DM_DEV_RESUME') expect([place, active]).toEqual([place, undefined])
      expect([place, await snapshotKernelState()]).toEqual([place, before])
    }
  }))

test('an aborted snapshot of an active origin leaves the origin resumed', () =>
  withPool(async pool => {
    const origin = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    const state = async () =>
      `${(await pool.volumes()).map(volume => volume.id).join(' ')} ${await snapshotKernelState()}`
    const before = await state()
    const places: Places[] = [
      ['DM_DEV_STATUS', 1],
      ['lock thin', 1],
      ['DM_DEV_SUSPEND', 1],
      ['DM_TARGET_MSG', 1],
      ['DM_DEV_RESUME', 1],
    ]
    for (const activate of [false, true]) {
      const more: Places[] = [...places, ['DM_DEV_CREATE', 1], ['DM_TABLE_LOAD', 1], ['DM_DEV_RESUME', 2]]
      for (const place of activate ? more : places) {
        const made = await abortAt(hooks, place, signal => origin.snapshot({ id: 50, activate, signal }))
        expect([place, dmInfo(origin.name)?.suspended]).toEqual([place, false])
        // From the suspend on it is finished, not given up: without activation it has then succeeded.
        if (!activate && ['DM_TARGET_MSG', 'DM_DEV_RESUME'].includes(place[0])) expect(made?.id).toBe(50)
        await made?.destroy()
        expect([place, await state()]).toEqual([place, before])
      }
    }
  }))

test('an abort at any step of deactivate() leaves the volume active and not suspended, or inactive', () =>
  withPool(async pool => {
    const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    const before = await snapshotKernelState()
    const places: Places[] = [
      ['DM_DEV_STATUS', 1],
      ['lock thin', 1],
      ['DM_DEV_SUSPEND', 1],
      ['DM_DEV_REMOVE', 1],
    ]
    for (const place of places) {
      const gone = await abortAt(hooks, place, signal => volume.deactivate({ signal }).then(() => true))
      // Once it is suspended it is removed, not given up; whether the suspend hears of the abort is open.
      if (place[0] !== 'DM_DEV_SUSPEND')
        expect([place, gone]).toEqual([place, place[0] === 'DM_DEV_REMOVE' || undefined])
      expect([place, volume.active]).toEqual([place, !gone])
      if (gone) await volume.activate()
      expect([place, await snapshotKernelState()]).toEqual([place, before])
    }
  }))

test('an abort ends the retry of a removal of a busy device', () =>
  withPool(async pool => {
    const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    const holder = await open(volume.path)
    const before = await snapshotKernelState()
    const controller = new AbortController()
    const call = volume.deactivate({ timeoutMs: 600_000, signal: controller.signal })
    call.catch(() => {})
    await sleep(ABORT_AFTER_MS)
    controller.abort()
    await expect(call).rejects.toMatchObject({ name: 'AbortError', code: 'ABORT_ERR' })
    expect(await snapshotKernelState()).toBe(before)
    await holder.close()
    await volume.deactivate()
  }))

test('an abort ends the wait of detach() for a holder', async () => {
  const file = scratch.path(scratch.name('detach'))
  const backing = await open(file, 'w')
  await backing.truncate(MiB)
  await backing.close()
  const device = await LoopDevice.attach({ file })
  const holder = await open(device.path)
  const controller = new AbortController()
  const call = device.detach({ timeoutMs: 600_000, signal: controller.signal })
  call.catch(() => {})
  await sleep(ABORT_AFTER_MS)
  controller.abort()
  await expect(call).rejects.toMatchObject({ name: 'AbortError', code: 'ABORT_ERR' })
  expect(markedLoops()).toHaveLength(1)
  await holder.close()
  await device.detach()
  expect(markedLoops()).toEqual([])
})

test('a rename that the kernel has completed is not reported as aborted', async () => {
  const dm = await DeviceMapper.open()
  const [name, next] = [scratch.name('before'), scratch.name('after')]
  dmCreate(name, '0 8 zero')
  const renamed = await abortAt(hooks, ['DM_DEV_RENAME', 1], signal => dm.rename(name, next, { signal }))
  expect(renamed).toMatchObject({ name: next })
  const known = await abortAt(hooks, ['DM_DEV_RENAME', 1], signal => dm.setUuid(next, `${next}-uuid`, { signal }))
  expect(known).toMatchObject({ name: next, uuid: `${next}-uuid` })
  dmRemove(next)
})

test('calls with an aborted signal reject and change nothing', () =>
  withPool(async pool => {
    const origin = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    const before = await snapshotKernelState()
    const signal = AbortSignal.abort()
    const aborted = { name: 'AbortError', code: 'ABORT_ERR' }
    await expect(origin.snapshot({ signal })).rejects.toMatchObject(aborted)
    await expect(origin.deactivate({ signal })).rejects.toMatchObject(aborted)
    await expect(pool.createVolume({ sizeBytes: MiB, signal })).rejects.toMatchObject(aborted)
    await expect(pool.remove({ signal })).rejects.toMatchObject(aborted)
    await expect(pool.grow({ dataBytes: 128 * MiB, signal })).rejects.toMatchObject(aborted)
    expect(await snapshotKernelState()).toBe(before)
  }))
