// Scenario                                                   Test
// live replacement under I/O                                 replacing a live table loses no write …
// the load is refused                                        an invalid table changes nothing: the old …
// the resume is refused after the swap                       a table that fails at the resume is rolled …
// the call is aborted                                        an aborted replacement leaves the old table …
// two at once                                                concurrent replacements run one …
// D  set_data, set_segments of a suspended device            a replacement resumes a suspended device
// @udev both
import { MiB } from '../../../lib/entry/index.js'
import { linear, MappedDevice, thin, thinPool, zero } from '../../../lib/entry/kernel.js'
import { pattern, readAt, writeAt } from '../../helpers/kernel/blocks.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { run } from '../../helpers/process/spawned.js'
import { readBelow, withDevices } from '../../helpers/target/round-trip.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { dmInfo, dmTable } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()
const running = { suspended: false, liveTable: true, inactiveTable: false }

test('replacing a live table loses no write, and changes the size of the device', async () => {
  await withDevices(scratch, [MiB, MiB], async ([one, two]) => {
    const half = linear({ lengthSectors: 1024, device: one! })
    const device = await MappedDevice.create({ name: scratch.name('live'), table: [half] })
    let round = 0
    let over = false
    const writing = (async () => {
      while (!over) await writeAt(device.path, 0, pattern(++round, 4096))
    })()
    for (let times = 0; times < 5; times++) {
      await device.replaceTable([half, linear({ lengthSectors: 2048, device: two! })])
      await device.replaceTable([half])
    }
    over = true
    await writing
    await device.replaceTable([half, linear({ lengthSectors: 2048, device: two! })])
    expect((await readAt(device.path, 0, 4096)).equals(pattern(round, 4096))).toBe(true)
    await writeAt(device.path, 512 * 1024, pattern(99, 4096))
    expect((await readBelow(two!, 0, 4096)).equals(pattern(99, 4096))).toBe(true)
    expect(dmInfo(device.name)).toMatchObject(running)
    await device.remove()
  })
})

test('an invalid table changes nothing: the old table stays live and is never suspended', async () => {
  scratch.log.allow(/device-mapper: /)
  const device = await MappedDevice.create({ name: scratch.name('kept'), table: [zero({ lengthSectors: 8 })] })
  const table = [linear({ lengthSectors: 8, device: '4095:77' })]
  const fault = await expectCode(device.replaceTable(table), 'DM_TABLE_REFUSED')
  expect(fault).toMatchObject({ operation: 'DM_TABLE_LOAD', rollback: [] })
  expect(dmTable(device.name)).toBe('0 8 zero')
  expect(dmInfo(device.name)).toMatchObject(running)
  await device.remove()
})

test('a device can be renamed and removed after an invalid table, without the kernel bug of cleared tables', async () => {
  scratch.log.allow(/device-mapper: /)
  const [one, two] = [scratch.name('named'), scratch.name('renamed')]
  // What was freed twice shows in the rounds after it.
  for (let round = 0; round < 10; round++) {
    const device = await MappedDevice.create({ name: one, table: [zero({ lengthSectors: 8 })] })
    await expectCode(device.replaceTable([linear({ lengthSectors: 8, device: '4095:77' })]), 'DM_TABLE_REFUSED')
    await device.rename(two)
    await device.remove()
  }
})

test('an invalid table leaves the table that another program has loaded', async () => {
  scratch.log.allow(/device-mapper: /)
  const device = await MappedDevice.create({ name: scratch.name('loaded'), table: [zero({ lengthSectors: 8 })] })
  run('dmsetup', ['load', device.name, '--table', '0 24 zero'])
  await expectCode(device.replaceTable([linear({ lengthSectors: 8, device: '4095:77' })]), 'DM_TABLE_REFUSED')
  expect(dmInfo(device.name)).toMatchObject({ inactiveTable: true, suspended: false })
  await device.resume()
  expect(dmTable(device.name)).toBe('0 24 zero')
  await device.remove()
})

test('a table that fails at the resume is rolled back: the old table is live again', async () => {
  scratch.log.allow(/device-mapper: /)
  await withDevices(scratch, [4 * MiB, 16 * MiB], async ([metadataDevice, dataDevice]) => {
    const devices = { metadataDevice: metadataDevice!, dataDevice: dataDevice!, blockSectors: 128 }
    const whole = thinPool({ lengthSectors: 32768, ...devices })
    const pool = await MappedDevice.create({ name: scratch.name('pool'), table: [whole] })
    await pool.message('create_thin 0')
    const table = [thin({ lengthSectors: 2048, poolDevice: pool.device, id: 0 })]
    const volume = await MappedDevice.create({ name: scratch.name('thin'), table })
    await writeAt(volume.path, 0, pattern(1, 65536))
    const before = dmTable(pool.name)
    const fault = await expectCode(
      pool.replaceTable([thinPool({ lengthSectors: 16384, ...devices })]),
      'DM_TABLE_REFUSED',
    )
    expect(fault.operation).toBe('DM_DEV_RESUME')
    expect(fault.rollback).toEqual(
      ['DM_TABLE_LOAD', 'DM_DEV_RESUME'].map(operation => ({
        operation,
        device: pool.name,
        errno: 0,
      })),
    )
    expect(dmTable(pool.name)).toBe(before)
    expect(dmInfo(pool.name)).toMatchObject(running)
    expect((await readAt(volume.path, 0, 65536)).equals(pattern(1, 65536))).toBe(true)
    await writeAt(volume.path, 65536, pattern(2, 65536))
    await volume.remove()
    await pool.remove()
  })
})

test('an aborted replacement leaves the old table live and no inactive table', async () => {
  const device = await MappedDevice.create({ name: scratch.name('aborted'), table: [zero({ lengthSectors: 8 })] })
  const table = [zero({ lengthSectors: 16 })]
  await expectCode(device.replaceTable(table, { signal: AbortSignal.abort() }), 'ABORT_ERR')
  expect(dmTable(device.name)).toBe('0 8 zero')
  expect(dmInfo(device.name)).toMatchObject(running)
  for (let turn = 0; turn < 10; turn++) {
    const controller = new AbortController()
    const replacing = device.replaceTable(table, { signal: controller.signal }).catch((fault: unknown) => fault)
    for (let left = turn; left > 0; left--) await new Promise(resolve => setImmediate(resolve))
    controller.abort()
    const fault = await replacing
    if (fault !== undefined) expect(fault).toMatchObject({ code: 'ABORT_ERR' })
    expect(dmTable(device.name)).toBe(fault === undefined ? '0 16 zero' : '0 8 zero')
    expect(dmInfo(device.name)).toMatchObject(running)
    await device.replaceTable([zero({ lengthSectors: 8 })])
  }
  await device.remove()
})

test('concurrent replacements run one after the other', async () => {
  const device = await MappedDevice.create({ name: scratch.name('both'), table: [zero({ lengthSectors: 8 })] })
  await Promise.all([16, 24, 32].map(lengthSectors => device.replaceTable([zero({ lengthSectors })])))
  expect(dmTable(device.name)).toBe('0 32 zero')
  expect(dmInfo(device.name)).toMatchObject(running)
  await device.remove()
})

test('a replacement resumes a suspended device', async () => {
  const device = await MappedDevice.create({ name: scratch.name('suspended'), table: [zero({ lengthSectors: 8 })] })
  await device.suspend()
  await device.replaceTable([zero({ lengthSectors: 16 })])
  expect(dmTable(device.name)).toBe('0 16 zero')
  expect(dmInfo(device.name)).toMatchObject(running)
  await device.remove()
})
