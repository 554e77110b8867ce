// Scenario                                                  Test
// D  version, versions; C Version; A version equals dmsetup's  version and listVersions return the …
// D  list_devices_empty, list_devices; A list               listDevices returns names …; a list larger than …
// D  create, create_uuid; A info by name and devno          name, uuid and number address the same …
// D  double_creation (4 combinations)                       create with the name or uuid …
// D  remove_non_existent, status_no_name, table_status_non_existent, empty_deps   every call for a …; a device without …
// D  table_status (new device has zero targets)             a device without a table has …
// D  no_udev_device_lifecycle                               a mapped device is created without a …
// D  lineardev suspend; C SuspendResume (each twice)        suspend and resume succeed twice, and the …
// A  three linear pieces read as one; moby#39833            a table of several targets is read completely …
// D  unchecked counts and bounds; A long names cut          a list larger than …; names and uuids …
// D  load failure removes the device, resume failure not    port-pool.test.ts
// C/S EBUSY is what is retried, and only EBUSY              remove waits for the close …; remove retries after EBUSY …
// L/C errno out of localized text                           the errno of a failure is numeric in any …
import { closeSync, openSync, truncateSync, writeFileSync } from 'node:fs'
import { MiB } from '../../../lib/entry/index.js'
import { nativePort } from '../../../lib/kernel/native-port.js'
import { DEVICE_FLAG, TABLE_FLAG, type TargetLine } from '../../../lib/kernel/port/device-port.js'
import { deviceNumber } from '../../../lib/base/device-number.js'
import { readAt } from '../../helpers/kernel/blocks.js'
import { runChild } from '../../helpers/process/children.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { markedDevices } from '../../helpers/kernel/kernel-state.js'
import { withLoops } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run } from '../../helpers/process/spawned.js'
import { dmInfo, dmTable } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()
const port = nativePort()
const line = (type: string, parameters = '', startSectors = 0, lengthSectors = 8): TargetLine => ({
  startSectors,
  lengthSectors,
  type,
  parameters,
})
const bare = (name: string) => ({ name, uuid: `${name}-uuid`, table: [line('error')] })
const gone = { errno: 6 }

test('version and listVersions return the versions of dmsetup', async () => {
  const driver = /Driver version:\s+(\S+)/.exec(run('dmsetup', ['version']))![1]
  expect((await port.version()).join('.')).toBe(driver)
  const targets = run('dmsetup', ['targets']).trim().split('\n')
  const ours = (await port.listVersions()).map(({ name, version }) => `${name} v${version.join('.')}`)
  expect(ours.sort()).toEqual(targets.map(target => target.replace(/\s+/g, ' ')).sort())
  expect(ours.some(target => target.startsWith('thin-pool '))).toBe(true)
})

test('a mapped device is created without a table, loaded, resumed and removed', async () => {
  const name = scratch.name('device')
  const created = await port.create(name, '')
  expect(created).toMatchObject({ name, uuid: '', targetCount: 0, openCount: 0 })
  expect(created.flags & (DEVICE_FLAG.activeTable | DEVICE_FLAG.inactiveTable)).toBe(0)
  const loaded = await port.tableLoad({ name }, [line('error')], 0)
  expect(loaded.flags & DEVICE_FLAG.inactiveTable).toBe(DEVICE_FLAG.inactiveTable)
  expect(dmInfo(name)).toMatchObject({ liveTable: false, inactiveTable: true })
  await port.resume({ name })
  expect(dmInfo(name)).toMatchObject({ liveTable: true, inactiveTable: false, suspended: false })
  expect(dmTable(name)).toBe('0 8 error')
  await port.tableLoad({ name }, [line('error', '', 0, 16)], 0)
  expect(await port.tableStatus({ name }, TABLE_FLAG.table | TABLE_FLAG.inactive)).toMatchObject([
    { lengthSectors: 16 },
  ])
  await port.tableClear({ name })
  expect(dmInfo(name)).toMatchObject({ liveTable: true, inactiveTable: false })
  await port.remove({ name }, 5_000)
  expect(dmInfo(name)).toBeUndefined()
})

test('name, uuid and number address the same device, as dmsetup reports it', async () => {
  const name = scratch.name('device')
  const made = await port.activate({ ...bare(name), readOnly: true })
  for (const address of [{ name }, { uuid: `${name}-uuid` }, { device: made.device }]) {
    const info = await port.deviceStatus(address)
    expect(info).toMatchObject({ name, uuid: `${name}-uuid`, device: made.device, targetCount: 1 })
    expect(info.flags & DEVICE_FLAG.readOnly).toBe(DEVICE_FLAG.readOnly)
  }
  expect(dmInfo(name)).toMatchObject({ uuid: `${name}-uuid`, number: deviceNumber(made.device), readOnly: true })
  await port.remove({ uuid: `${name}-uuid` }, 5_000)
})

test('create with the name or uuid of another device fails with EBUSY, and leaves that device unchanged', async () => {
  const name = scratch.name('first')
  await port.activate(bare(name))
  const other = scratch.name('second')
  for (const [second, uuid] of [
    [name, ''],
    [name, `${name}-uuid`],
    [name, `${other}-uuid`],
    [other, `${name}-uuid`],
  ] as const) {
    expect(await expectCode(port.create(second, uuid), 'DM_NAME_TAKEN')).toMatchObject({ errno: 16 })
    await expectCode(port.activate({ ...bare(second), uuid }), 'DM_NAME_TAKEN')
  }
  expect(markedDevices().map(device => device.name)).toEqual([name])
  expect(dmTable(name)).toBe('0 8 error')
  await port.remove({ name }, 5_000)
})

test('every call for a device that does not exist fails with ENXIO', async () => {
  const name = scratch.name('none')
  const calls: (() => Promise<unknown>)[] = [
    () => port.deviceStatus({ name }),
    () => port.deviceStatus({ uuid: name }),
    () => port.deviceStatus({ device: 0xfffff }),
    () => port.tableStatus({ name }, 0),
    () => port.tableStatus({ name }, TABLE_FLAG.table),
    () => port.tableDeps({ name }),
    () => port.tableClear({ name }),
    () => port.suspend({ name }, 0),
    () => port.resume({ name }),
    () => port.remove({ name }, 5_000),
    () => port.targetMessage({ name }, 0, 'hello'),
  ]
  for (const call of calls) expect(await call().catch((fault: unknown) => fault)).toMatchObject(gone)
})

test('a device without a table has no targets and no dependencies, and can be resumed and suspended', async () => {
  const name = scratch.name('empty')
  await port.create(name, `${name}-uuid`)
  for (const flags of [0, TABLE_FLAG.table]) expect(await port.tableStatus({ name }, flags)).toEqual([])
  expect(await port.tableDeps({ name })).toEqual([])
  await port.resume({ name })
  await port.suspend({ name }, 0)
  expect(dmInfo(name)).toMatchObject({ suspended: true, liveTable: false })
  await port.remove({ name }, 5_000)
})

test('suspend and resume succeed twice, and the second has no effect', async () => {
  const name = scratch.name('device')
  await port.activate(bare(name))
  for (const suspended of [true, true, false, false]) {
    await (suspended ? port.suspend({ name }, 0) : port.resume({ name }))
    expect(dmInfo(name)).toMatchObject({ suspended })
  }
  await port.remove({ name }, 5_000)
})

test('a table of several targets is read completely, and its dependencies are the devices below', async () => {
  const file = scratch.path('linear.img')
  writeFileSync(file, Buffer.concat([1, 2, 3].map(byte => Buffer.alloc(4096, byte))))
  await withLoops([file], async ([number]) => {
    const name = scratch.name('linear')
    const table = [line('linear', `${number} 16`), line('linear', `${number} 0`, 8), line('zero', '', 16)]
    const { device } = await port.activate({ name, uuid: '', table })
    expect(await port.tableStatus({ name }, TABLE_FLAG.table)).toEqual(table)
    expect(dmTable(name).split('\n')).toHaveLength(3)
    expect((await port.tableDeps({ name })).map(deviceNumber)).toEqual([number])
    const content = await readAt(`/dev/dm-${device & 0xff}`, 0, 12288)
    expect([0, 4096, 8192].map(at => content[at])).toEqual([3, 1, 0])
    await port.remove({ name }, 5_000)
  })
})

test('listDevices returns names, uuids and numbers, of all devices or of those with a prefix', async () => {
  const names = [scratch.name('list-a'), scratch.name('list-b')]
  for (const name of names) await port.activate(bare(name))
  const marked = async (filter: { name?: string; uuid?: string }) =>
    (await port.listDevices(filter)).map(({ name }) => name).filter(name => name.startsWith('dmthintest-'))
  expect((await marked({})).sort()).toEqual(names)
  expect(await marked({ name: names[0]! })).toEqual([names[0]])
  expect(await marked({ uuid: `${names[1]}-u` })).toEqual([names[1]])
  expect(await marked({ name: 'dmthintest-none' })).toEqual([])
  const [first] = await port.listDevices({ name: names[0]! })
  expect(first).toEqual({
    name: names[0],
    uuid: `${names[0]}-uuid`,
    device: expect.any(Number) as number,
    eventNumber: 0,
  })
  for (const name of names) await port.remove({ name }, 5_000)
})

test('a list larger than the first buffer is complete: 120 devices with names of the maximum length', async () => {
  const names = Array.from({ length: 120 }, (_, at) => `${scratch.name('x')}-${at}`.padEnd(127, 'y'))
  await Promise.all(names.map(name => port.create(name, `${name}z`)))
  const listed = await port.listDevices({ name: 'dmthintest-' })
  expect(listed.map(each => each.name).sort()).toEqual([...names].sort())
  expect(listed.every(each => each.uuid === `${each.name}z`)).toBe(true)
  await Promise.all(names.map(name => port.remove({ name }, 5_000)))
})

test('names and uuids that are too long are rejected and not truncated', async () => {
  const name = scratch.name('long').padEnd(128, 'x')
  await expectCode(port.create(name, ''), 'DM_KERNEL').then(({ errno }) => expect(errno).toBe(36))
  const fault = await port.create(scratch.name('uuid'), 'u'.repeat(129)).catch((refusal: unknown) => refusal)
  expect(fault).toMatchObject({ errno: 36 })
  expect(markedDevices()).toEqual([])
})

test('remove waits for the close of an open device, up to its timeout', async () => {
  const name = scratch.name('held')
  const { device } = await port.activate({ ...bare(name), table: [line('zero')] })
  const fd = openSync(`/dev/dm-${device & 0xff}`, 'r')
  expect(await expectCode(port.remove({ name }, 0), 'DM_BUSY')).toMatchObject({ errno: 16, tries: 1 })
  const busy = async (limitMs: number) => (await expectCode(port.remove({ name }, limitMs), 'DM_BUSY')).tries!
  for (let limitMs = 100; (await busy(limitMs)) === 1;) limitMs *= 2
  const removing = port.remove({ name }, 30_000)
  setTimeout(() => closeSync(fd), 100)
  await removing
  expect(markedDevices()).toEqual([])
})

test('remove retries after EBUSY only', async () => {
  const fault = await port.remove({ name: scratch.name('none') }, 30_000).catch((refusal: unknown) => refusal)
  expect(fault).toMatchObject({ ...gone, tries: 1 })
})

test('the errno of a failure is numeric in any locale', async () => {
  const prefix = ['env', 'LC_ALL=de_DE.UTF-8', 'LANG=de_DE.UTF-8', 'LANGUAGE=de']
  const outcome = await runChild(`return dmThin.ThinPool.open(${JSON.stringify(scratch.name('none'))})`, prefix)
  expect(outcome).toMatchObject({ error: { code: 'DM_NOT_FOUND' } })
  const image = scratch.path('none.img')
  const loop = await runChild(`return dmThin.LoopDevice.attach({ file: ${JSON.stringify(image)} })`, prefix)
  expect(loop).toMatchObject({ error: { code: 'DM_FILE_MISSING', errno: 2 } })
})

test('readBlocks returns zeros past the end of the device', async () => {
  const file = scratch.path('odd.img')
  writeFileSync(file, Buffer.alloc(MiB, 7))
  truncateSync(file, 4096 + 512)
  await withLoops([file], async ([number]) => {
    const path = `/dev/loop${number!.slice(2)}`
    const [first, second, third] = await port.readBlocks(path, [0, 1, 9], 4096, true)
    expect(first!.every(byte => byte === 7)).toBe(true)
    expect([second![511], second![512], third![0]]).toEqual([7, 0, 0])
  })
})
