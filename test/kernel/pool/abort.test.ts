// Scenario                                                  Test
// abort before                                              calls with an aborted signal …
// abort during: at every moment, whatever comes first       ThinPool.create aborted at any moment …
// AbortSignal during the retry of a busy device (missing everywhere; C cannot be cancelled for minutes)   removal of a busy device …
// abort after                                               an abort after a call has no …
// K  suspend blocks (needs cancel)                          suspend() of a volume that waits …
// @udev both
import { closeSync, existsSync, openSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { LoopDevice, MiB, mount, ThinPool, unmount, volumesOf } from '../../../lib/entry/index.js'
import { nativePort } from '../../../lib/kernel/native-port.js'
import { writeBlock } from '../../helpers/kernel/blocks.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { markedLoops, snapshotKernelState } from '../../helpers/kernel/kernel-state.js'
import { withPool } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { dmCreate, dmInfo, dmRemove, dmResume, dmSuspend } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()
const reason = new Error('changed my mind')

test('calls with an aborted signal reject with its reason as cause, and do not call the kernel', async () => {
  await withPool(async (pool, { name }) => {
    const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    const signal = AbortSignal.abort(reason)
    const file = scratch.path('never')
    const before = await snapshotKernelState()
    const calls: (() => Promise<unknown>)[] = [
      () => ThinPool.open({ name, signal }),
      () =>
        ThinPool.create({
          name: scratch.name('pool'),
          data: { file, sizeBytes: MiB },
          metadata: { file: `${file}-metadata`, sizeBytes: 4 * MiB },
          signal,
        }),
      () => pool.status({ signal }),
      () => pool.createVolume({ sizeBytes: MiB, signal }),
      () => pool.volumes({ signal }),
      () => pool.usage({ signal }),
      () => pool.snapshotMany(volume, 3, { signal }),
      () => pool.statusMany([volume], { signal }),
      () => pool.grow({ dataBytes: 128 * MiB, signal }),
      () => pool.remove({ deactivate: true, signal }),
      () => volume.snapshot({ signal }),
      () => volume.status({ signal }),
      () => volume.deactivate({ signal }),
      () => volume.delete({ signal }),
      () => LoopDevice.attach({ file, signal }),
      () => mount({ source: volume.path, target: scratch.path('.'), type: 'ext4', signal }),
      () => unmount(scratch.path('.'), { signal }),
    ]
    for (const call of calls) {
      const fault = await expectCode(call(), 'ABORT_ERR')
      expect(fault).toMatchObject({ name: 'AbortError', cause: reason })
    }
    const [one] = await pool.deactivateMany([volume], { signal })
    expect(one).toMatchObject({ status: 'rejected', reason: { code: 'ABORT_ERR' } })
    expect(await snapshotKernelState()).toBe(before)
    expect(existsSync(file)).toBe(false)
    expect((await pool.volumes()).map(({ id }) => id)).toEqual([0])
  })
})

/** Aborts after some turns of the event loop or milliseconds; the call may be done by then, or be given up. */
async function abortedAt<T>(moment: number, call: (signal: AbortSignal) => Promise<T>): Promise<T | undefined> {
  const controller = new AbortController()
  const running = call(controller.signal).catch((fault: unknown) => {
    expect(fault).toMatchObject({ code: 'ABORT_ERR', cause: reason })
    return undefined
  })
  if (moment > 0) await sleep(moment)
  controller.abort(reason)
  return running
}

const MOMENTS = [0, 1, 3, 7, 15, 30, 60]

test('ThinPool.create aborted at any moment leaves a complete pool, or neither devices nor files', async () => {
  for (const moment of MOMENTS) {
    const [data, metadata] = ['data', 'metadata'].map(role => scratch.path(`${role}-${moment}`)) as [string, string]
    const pool = await abortedAt(moment, signal =>
      ThinPool.create({
        name: scratch.name('pool'),
        data: { file: data, sizeBytes: 16 * MiB },
        metadata: { file: metadata, sizeBytes: 4 * MiB },
        signal,
      }),
    )
    expect([data, metadata].map(existsSync)).toEqual(pool ? [true, true] : [false, false])
    await pool?.remove({ deleteFiles: true })
    expect(await snapshotKernelState()).toBe('')
  }
})

test('activate() aborted at any moment leaves an active volume or no device', async () => {
  await withPool(async pool => {
    const volume = await pool.createVolume({ sizeBytes: MiB })
    const before = await snapshotKernelState()
    for (const moment of MOMENTS) {
      const active = await abortedAt(moment, signal => volume.activate({ signal }))
      expect(await volume.refresh()).toBe(active !== undefined)
      await volume.deactivate()
      expect(await snapshotKernelState()).toBe(before)
    }
  })
})

test('snapshot() of an active volume aborted at any moment leaves the origin resumed and no incomplete snapshot', async () => {
  await withPool(async pool => {
    const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    for (const moment of MOMENTS) {
      const before = await snapshotKernelState()
      const had = (await pool.volumes()).length
      const snapshot = await abortedAt(moment, signal => volume.snapshot({ activate: true, signal }))
      expect(dmInfo(volume.name)).toMatchObject({ suspended: false })
      await writeBlock(volume.path, 0, moment)
      await snapshot?.deactivate()
      expect(await snapshotKernelState()).toBe(before)
      expect((await pool.volumes()).length).toBe(had + (snapshot ? 1 : 0))
    }
  })
})

test('activateMany() aborted at any moment reports for each volume the state that the kernel has', async () => {
  await withPool({ metadataBytes: 8 * MiB }, async pool => {
    const volumes = await Promise.all(Array.from({ length: 30 }, () => pool.createVolume({ sizeBytes: MiB })))
    const controller = new AbortController()
    const onProgress = ({ done }: { done: number }) => done === 3 && controller.abort(reason)
    const results = await pool.activateMany(volumes, { signal: controller.signal, onProgress: p => void onProgress(p) })
    for (const result of results) {
      if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'ABORT_ERR' })
      expect(dmInfo(result.volume.name) !== undefined).toBe(result.status === 'fulfilled')
    }
    expect(results.filter(result => result.status === 'fulfilled').length).toBeGreaterThanOrEqual(3)
    await pool.deactivateMany(volumes)
  })
})

test('LoopDevice.attach aborted at any moment leaves the file attached or detached', async () => {
  const file = scratch.path('attach.img')
  writeFileSync(file, Buffer.alloc(MiB))
  for (const moment of MOMENTS.slice(0, 4)) {
    const device = await abortedAt(moment, signal => LoopDevice.attach({ file, signal }))
    expect(markedLoops()).toHaveLength(device ? 1 : 0)
    await device?.detach()
  }
})

test('removal of a busy device aborted between two tries leaves it unchanged, and succeeds later', async () => {
  await withPool(async (pool, { name }) => {
    const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    const fd = openSync(volume.path, 'r')
    const before = await snapshotKernelState()
    for (const call of [
      (signal: AbortSignal) => volume.deactivate({ timeoutMs: 3_600_000, signal }),
      (signal: AbortSignal) => pool.remove({ deactivate: true, timeoutMs: 3_600_000, signal }),
    ]) {
      expect(await abortedAt(50, async signal => call(signal).then(() => 'done'))).toBeUndefined()
      expect(await snapshotKernelState()).toBe(before)
    }
    closeSync(fd)
    await volume.deactivate()
    expect(dmInfo(name)).toMatchObject({ openCount: 0 })
  })
})

test('suspend() of a volume that waits for its suspended pool can be aborted', async () => {
  await withPool(async (pool, { name }) => {
    const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    dmSuspend(name)
    const port = nativePort()
    expect(await abortedAt(50, signal => port.suspend({ name: volume.name }, 0, signal))).toBeUndefined()
    dmResume(name)
    expect(dmInfo(volume.name)).toMatchObject({ suspended: false })
    await writeBlock(volume.path, 0, 1)
  })
})

test('an abort after a call has no effect, and the call leaves no listener on its signal', async () => {
  await withPool(async pool => {
    const controller = new AbortController()
    const { signal } = controller
    const volume = await (await pool.createVolume({ sizeBytes: MiB, signal })).activate({ signal })
    const snapshot = await volume.snapshot({ activate: true, signal })
    const name = scratch.name('taken')
    dmCreate(name, '0 8 zero')
    await expectCode(volume.snapshot({ name, activate: true, signal }), 'DM_NAME_TAKEN')
    dmRemove(name)
    const before = await snapshotKernelState()
    controller.abort(reason)
    await new Promise(setImmediate)
    expect(await snapshotKernelState()).toBe(before)
    expect(await snapshot.status()).toMatchObject({ state: 'active' })
    expect((await pool.volumes()).map(({ id }) => id)).toEqual([0, 1])
  })
})

test('one signal serves many concurrent calls without a warning about listeners', async () => {
  const warnings: Error[] = []
  const listen = (warning: Error) => void warnings.push(warning)
  process.on('warning', listen)
  try {
    await withPool(async pool => {
      const { signal } = new AbortController()
      const volume = await pool.createVolume({ sizeBytes: MiB })
      const copies = volumesOf(await pool.snapshotMany(volume, 16, { signal }))
      volumesOf(await pool.activateMany(copies, { signal }))
    })
    await new Promise(setImmediate)
  } finally {
    process.off('warning', listen)
  }
  expect(warnings).toEqual([])
})
