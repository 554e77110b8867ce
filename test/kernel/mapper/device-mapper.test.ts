// Scenario                                                  Test
// D  rename_uuid, rename_uuid_id, set_uuid                  setUuid() sets a uuid once, and …
// D  rename, rename_id, rename_non_existent                 rename() returns the new …
// D  table_status (+_table, inactive)                       tableLoad() makes an …
// D  device_wait returns an empty table, compares with 0    wait() resolves at once after an …
// D  persistent minor never filled in                       create() uses the requested minor …
// K  uuid+dev, none: ENXIO; name+uuid: EINVAL               an address is a name …
// K  SECURE_DATA zeroes the buffer                          secureData has no effect on …
// M  deferred removal and its cancellation                  a deferred remove() completes …
// L  DM_GET_TARGET_VERSION, geometry, remove all            targetVersion() loads …; setGeometry() sets …; removeAll() rejects …
// @udev both
import { closeSync, openSync, writeFileSync } from 'node:fs'
import { DmThinError, MiB } from '../../../lib/entry/index.js'
import { DeviceMapper, type Segment } from '../../../lib/entry/kernel.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { markedDevices } from '../../helpers/kernel/kernel-state.js'
import { withLoops, withPool } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run } from '../../helpers/process/spawned.js'
import { dmInfo, dmTable } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()
let dm: DeviceMapper
beforeAll(async () => {
  dm = await DeviceMapper.open()
})
const segment = (type: string, parameters = '', lengthSectors = 8): Segment => ({ lengthSectors, type, parameters })

async function withDevice<T>(table: Segment[], body: (name: string) => Promise<T>): Promise<T> {
  const name = scratch.name('node')
  await dm.create({ name })
  await dm.tableLoad(name, table)
  await dm.resume(name)
  const result = await body(name)
  if (dmInfo(name)) await dm.remove(name, { timeoutMs: 5_000 })
  return result
}

test('capabilities() returns the versions and features of the running kernel', async () => {
  const { features, interfaceVersion, targets } = await dm.capabilities()
  expect(interfaceVersion.join('.')).toBe(/Driver version:\s+(\S+)/.exec(run('dmsetup', ['version']))![1])
  expect(features).toMatchObject({ messages: true, eventPoll: true, targetVersion: true, filteredList: true })
  expect(targets.get('thin-pool')).toEqual((await dm.targetVersion('thin-pool')).slice())
  expect(await dm.version()).toEqual(dm.interfaceVersion)
})

test('targetVersion() loads the module of a target, and rejects an unknown one with DM_UNAVAILABLE', async () => {
  const version = await dm.targetVersion('linear')
  const listed = await dm.listVersions()
  expect(listed.find(target => target.name === 'linear')?.version).toEqual(version)
  const fault = await expectCode(dm.targetVersion('no-such-target'), 'DM_UNAVAILABLE')
  expect(fault.message).toMatch(/no target "no-such-target"/)
})

test('rename() returns the new name, and rejects an existing name and a missing device', async () => {
  scratch.log.allow(/Unable to (change name|rename)/)
  await withDevice([segment('error')], async name => {
    await withDevice([segment('error')], async other => {
      await expectCode(dm.rename(name, other), 'DM_NAME_TAKEN')
      await expectCode(dm.rename(name, name), 'DM_NAME_TAKEN')
    })
    const next = scratch.name('renamed')
    expect(await dm.rename(name, next)).toMatchObject({ name: next, liveTable: true })
    expect(dmInfo(name)).toBeUndefined()
    expect(dmTable(next)).toBe('0 8 error')
    await expectCode(dm.rename(name, scratch.name('x')), 'DM_NOT_FOUND')
    await dm.remove(next)
  })
})

test('setUuid() sets a uuid once, and rejects a second one and one that exists', async () => {
  scratch.log.allow(/Unable to change uuid/)
  await withDevice([segment('error')], async name => {
    expect(await dm.setUuid(name, `${name}-uuid`)).toMatchObject({ name, uuid: `${name}-uuid` })
    expect(dmInfo(name)).toMatchObject({ uuid: `${name}-uuid` })
    expect(await dm.setUuid(name, 'another').catch((fault: unknown) => fault)).toMatchObject({ errno: 22 })
    await withDevice([segment('error')], other => expectCode(dm.setUuid(other, `${name}-uuid`), 'DM_NAME_TAKEN'))
    expect(await dm.status({ uuid: `${name}-uuid` })).toMatchObject({ name })
  })
})

test('an address is a name, a uuid or a number, and other combinations are rejected before the kernel is called', async () => {
  await withDevice([segment('error')], async name => {
    const { device, path } = await dm.status(name)
    expect(dmInfo(name)).toMatchObject({ number: device })
    expect(path).toBe(`/dev/dm-${device.split(':')[1]}`)
    expect(await dm.status({ device })).toMatchObject({ name })
    for (const address of [{}, { name, uuid: 'x' }, { device: 'x' }, { device: '1:2:3' }, '', 'a/b', '..']) {
      await expectCode(dm.status(address as never), 'DM_INVALID_ARGUMENT')
    }
  })
})

test('create() uses the requested minor number, and rejects one that is in use with DM_NAME_TAKEN', async () => {
  const name = scratch.name('minor')
  expect(await dm.create({ name, minor: 4711 })).toMatchObject({ device: expect.stringMatching(/:4711$/) as string })
  await expectCode(dm.create({ name: scratch.name('minor'), minor: 4711 }), 'DM_NAME_TAKEN')
  await dm.remove(name)
  expect(markedDevices()).toEqual([])
})

test('tableLoad() makes an inactive table until the resume, and tableClear() removes it', async () => {
  await withDevice([segment('error')], async name => {
    await dm.tableLoad(name, [segment('zero', '', 16), segment('error', '', 8)])
    expect(await dm.status(name)).toMatchObject({ inactiveTable: true, targetCount: 1 })
    expect(await dm.status(name, { inactive: true })).toMatchObject({ targetCount: 2 })
    expect(await dm.table(name, { inactive: true })).toEqual([
      { startSectors: 0, lengthSectors: 16, type: 'zero', parameters: '' },
      { startSectors: 16, lengthSectors: 8, type: 'error', parameters: '' },
    ])
    expect(await dm.table(name)).toMatchObject([{ type: 'error' }])
    expect(await dm.tableClear(name)).toMatchObject({ inactiveTable: false })
    await dm.tableLoad(name, [segment('zero', '', 16)], { readOnly: true })
    await dm.suspend(name, { noflush: true, skipLockfs: true })
    expect(dmInfo(name)).toMatchObject({ suspended: true })
    expect(await dm.resume(name, { noflush: true })).toMatchObject({ readOnly: true, suspended: false })
    expect(dmTable(name)).toBe('0 16 zero')
  })
})

test('tableDeps() returns the dependencies of the live or of the inactive table', async () => {
  const file = scratch.path('deps.img')
  writeFileSync(file, Buffer.alloc(MiB))
  await withLoops([file], async ([number]) => {
    await withDevice([segment('error')], async name => {
      await dm.tableLoad(name, [segment('linear', `${number} 0`)])
      expect(await dm.tableDeps(name)).toEqual([])
      expect(await dm.tableDeps(name, { inactive: true })).toEqual([number])
      await dm.tableClear(name)
    })
  })
})

test('a deferred remove() completes at the last close, and can be cancelled', async () => {
  await withDevice([segment('zero')], async name => {
    const { path } = await dm.status(name)
    const holder = openSync(path, 'r')
    expect(await dm.remove(name, { deferred: true })).toMatchObject({ deferredRemove: true, ueventGenerated: false })
    expect(await dm.status(name)).toMatchObject({ deferredRemove: true })
    await dm.cancelDeferredRemove(name)
    expect(await dm.status(name)).toMatchObject({ deferredRemove: false })
    await dm.remove(name, { deferred: true })
    closeSync(holder)
    while (dmInfo(name)) await new Promise(setImmediate)
    await expectCode(dm.cancelDeferredRemove(name), 'DM_NOT_FOUND')
  })
})

test('message() returns the reply, an empty text without one, and rejects an invalid message', async () => {
  scratch.log.allow(/Target type does not support messages/)
  await withDevice([segment('zero')], async name => {
    expect(await dm.message(name, '@stats_create - 8')).toBe('0')
    expect(await dm.message(name, '@stats_list')).toMatch(/^0: 0\+8 8 /)
    expect(await dm.message(name, '@stats_delete 0')).toBe('')
    expect(await dm.message(name, 'what').catch((fault: unknown) => fault)).toMatchObject({ errno: 22 })
  })
})

test('setGeometry() sets a geometry, and rejects a start past its end', async () => {
  await withDevice([segment('zero', '', 2048)], async name => {
    await dm.setGeometry(name, { cylinders: 1, heads: 64, sectors: 32, startSector: 0 })
    scratch.log.allow(/Start sector is beyond the geometry limits/)
    const beyond = dm.setGeometry(name, { cylinders: 1, heads: 1, sectors: 1, startSector: 1e9 })
    expect(await beyond.catch((fault: unknown) => fault)).toMatchObject({ errno: 22 })
  })
})

test('secureData has no effect on the result, also with a reply larger than the first buffer or an invalid table', async () => {
  await withDevice([segment('error')], async name => {
    await dm.tableLoad(name, [segment('zero')], { secureData: true })
    await dm.resume(name)
    expect(dmTable(name)).toBe('0 8 zero')
    scratch.log.allow(/device-mapper: /)
    await expectCode(dm.tableLoad(name, [segment('no-such')], { secureData: true }), 'DM_TABLE_REFUSED')
    expect(await dm.message(name, '@stats_list', { secureData: true })).toBe('')
  })
})

test('imaMeasurement() returns the lines of targets that support it', async () => {
  const file = scratch.path('ima.img')
  writeFileSync(file, Buffer.alloc(MiB))
  await withLoops([file], async ([number]) => {
    await withDevice([segment('linear', `${number} 0`)], async name => {
      expect(await dm.imaMeasurement(name)).toEqual([
        {
          startSectors: 0,
          lengthSectors: 8,
          type: 'linear',
          parameters: expect.stringMatching(/^target_name=linear,target_version=[\d.]+,.*start=0;$/) as string,
        },
      ])
    })
  })
})

test('wait() resolves at once after an event, at the next event, and never without one', async () => {
  await withPool(async (pool, { name }) => {
    const { eventNumber } = await dm.status(name)
    const waiting = dm.wait(name)
    const aborted = dm.wait(name, { signal: AbortSignal.timeout(50) })
    await expectCode(aborted, 'ABORT_ERR')
    await dm.suspend(name)
    await dm.resume(name)
    const volume = await pool.createVolume({ sizeBytes: MiB })
    run('dmsetup', ['message', name, '0', `create_thin ${volume.id + 1}`])
    const gone = await dm.wait(name, { eventNumber: eventNumber === 0 ? 1 : eventNumber - 1 })
    expect(gone).toMatchObject({ info: { name, eventNumber }, targets: [{ type: 'thin-pool' }] })
    run('dmsetup', ['message', name, '0', `delete ${volume.id + 1}`])
    const controller = new AbortController()
    const never = dm.wait(name, { signal: controller.signal })
    controller.abort()
    await expectCode(never, 'ABORT_ERR')
    // An event of a pool that is easily had: its removal wakes those who wait for it.
    await pool.remove()
    expect(await waiting.catch((fault: unknown) => fault)).toBeDefined()
  })
})

test('status() resolves while more calls of wait() are pending than there are threads', async () => {
  await withDevice([segment('error')], async name => {
    const controller = new AbortController()
    const waits = Array.from({ length: 120 }, () => dm.wait(name, { signal: controller.signal }))
    const settled = Promise.allSettled(waits)
    expect(await dm.status(name)).toMatchObject({ openCount: 0 })
    await withDevice([segment('zero')], other => dm.status(other))
    controller.abort()
    const outcomes = await settled
    expect(outcomes.every(each => each.status === 'rejected' && each.reason instanceof DmThinError)).toBe(true)
  })
})

test('an event poll resolves at the next event of any device, and again until it is armed', async () => {
  const poll = dm.openEventPoll()
  await poll.arm()
  await expectCode(poll.wait({ signal: AbortSignal.timeout(50) }), 'ABORT_ERR')
  const event = poll.wait()
  await withDevice([segment('error')], () => event)
  await poll.wait() // not armed again: the event is still there
  poll.close()
})

test('listDevices() filters by prefix, and returns the event number of each device', async () => {
  await withDevice([segment('error')], async name => {
    const [own] = await dm.listDevices({ namePrefix: name })
    expect(own).toEqual({ name, uuid: '', device: dmInfo(name)!.number, eventNumber: expect.any(Number) as number })
    expect(await dm.listDevices({ uuidPrefix: 'dmthintest-none' })).toEqual([])
  })
})

test('removeAll() rejects without its full option', async () => {
  await withDevice([segment('error')], async name => {
    await expectCode(dm.removeAll({} as never), 'DM_INVALID_ARGUMENT')
    await expectCode(dm.removeAll({ everyMappedDeviceOfThisMachine: false } as never), 'DM_INVALID_ARGUMENT')
    expect(dmInfo(name)).toBeDefined()
    const { path } = await dm.status(name)
    const other = scratch.name('other')
    await dm.create({ name: other })
    const holder = openSync(path, 'r')
    scratch.log.allow(/remove_all left 1 open device/)
    await dm.removeAll({ everyMappedDeviceOfThisMachine: true })
    expect(markedDevices().map(device => device.name)).toEqual([name])
    await dm.removeAll({ everyMappedDeviceOfThisMachine: true, deferred: true })
    expect(await dm.status(name)).toMatchObject({ deferredRemove: true })
    closeSync(holder)
    while (dmInfo(name)) await new Promise(setImmediate)
  })
})
