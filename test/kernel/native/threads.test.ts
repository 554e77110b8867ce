// Scenario                                                  Test
// more calls blocked than threads, and what ends them       resume, remove and status …; a pool can grow while a …
// a close that waits                                        close() of a suspended …
import { setTimeout as sleep } from 'node:timers/promises'
import { BlockDevice, KiB, MiB } from '../../../lib/entry/index.js'
import { nativePort } from '../../../lib/kernel/native-port.js'
import { withPool } from '../../helpers/pool/pools.js'
import { inKernel } from '../../helpers/process/in-kernel.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { dmInfo } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()

/** More than the threads for calls that wait. */
const BLOCKED = 100

test('resume, remove and status are not blocked by a hundred reads of a suspended device', () =>
  withPool(async pool => {
    const port = nativePort()
    const volume = await (await pool.createVolume({ sizeBytes: 8 * MiB })).activate()
    const other = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    await using device = await BlockDevice.open(volume.path)
    await port.suspend({ name: volume.name }, 0)
    const reads = Promise.all(Array.from({ length: BLOCKED }, (_, index) => device.read(index * 64 * KiB, 64 * KiB)))
    await other.deactivate()
    expect(await other.refresh()).toBe(false)
    expect(await port.deviceStatus({ name: volume.name })).toMatchObject({ openCount: 1 })
    await port.resume({ name: volume.name })
    expect((await reads).every(each => each.length === 64 * KiB)).toBe(true)
  }))

test('a pool can grow while a hundred writes wait for its space', () =>
  withPool({ dataBytes: 16 * MiB }, async pool => {
    scratch.log.allow(
      /low water mark|out of data space|out-of-data-space|switching pool|growing the data device|no free data/i,
    )
    const volume = await (await pool.createVolume({ sizeBytes: 64 * MiB })).activate()
    await using device = await BlockDevice.open(volume.path)
    const part = Buffer.alloc(512 * KiB, 1)
    let ended = 0
    const write = (_: unknown, index: number) => device.write(index * part.length, part).finally(() => ended++)
    const writes = Promise.all(Array.from({ length: BLOCKED }, write))
    while ((await pool.status()).mode !== 'out_of_data_space') await sleep(10)
    // A write that the resume of the pool meets on its way waits until it fails: docs/space.md.
    while (inKernel() < BLOCKED - ended) await sleep(10)
    await pool.grow({ dataBytes: 128 * MiB })
    await writes
    expect(await pool.status()).toMatchObject({ mode: 'rw' })
    expect(dmInfo(volume.name)).toMatchObject({ suspended: false })
  }))

test('close() of a suspended device with dirty pages waits on a worker thread', () =>
  withPool(async pool => {
    const port = nativePort()
    const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    const device = await BlockDevice.open(volume.path, { direct: false })
    await port.suspend({ name: volume.name }, 0)
    await device.write(0, Buffer.alloc(64 * KiB, 1))
    let closed = false
    const closing = device.close().then(() => void (closed = true))
    await sleep(100)
    expect(closed).toBe(false)
    expect(await port.deviceStatus({ name: volume.name })).toMatchObject({ name: volume.name })
    await port.resume({ name: volume.name })
    await closing
    expect((await port.deviceStatus({ name: volume.name })).openCount).toBe(0)
  }))
