// Scenario                                                   Test
// D  lineardev empty, empty_table_set                        a table without segments creates …
// D  lineardev rename, rename_id                             rename() keeps the device …
// D  lineardev same_name                                     create() with the name or uuid of another …
// D  lineardev same_segment, duplicate_segments              a table with one segment …
// D  lineardev several_segments; A three linear pieces       a table of three segments on three …
// D  lineardev suspend                                       suspend() and resume() succeed …
// A  one device split in two                                 one device can be split into two …
// D  load failure removes the device, resume failure not; A leaks   an invalid table leaves no device
// (missing everywhere) replacement with a way back           mapped-device-replace.test.ts
// @udev both
import { closeSync, openSync } from 'node:fs'
import { MiB } from '../../../lib/entry/index.js'
import { error, linear, MappedDevice, striped, treeText, zero, type Segment } from '../../../lib/entry/kernel.js'
import { pattern, readAt, writeAt } from '../../helpers/kernel/blocks.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { markedDevices } from '../../helpers/kernel/kernel-state.js'
import { run } from '../../helpers/process/spawned.js'
import { withDevices } from '../../helpers/target/round-trip.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { dmCreate, dmInfo, dmRemove, dmTable } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()
const nodeOf = (device: string): string => `/dev/loop${device.slice(2)}`
const piece = (device: string, offsetSectors = 0, lengthSectors = 8): Segment =>
  linear({ lengthSectors, device, offsetSectors })

async function withDevice(table: readonly Segment[], body: (device: MappedDevice) => Promise<void>): Promise<void> {
  const device = await MappedDevice.create({ name: scratch.name('device'), table })
  try {
    await body(device)
  } finally {
    await device.remove()
  }
}

test('a table without segments creates no device and replaces no table', async () => {
  await expectCode(MappedDevice.create({ name: scratch.name('empty'), table: [] }), 'DM_INVALID_ARGUMENT')
  expect(markedDevices()).toEqual([])
  await withDevice([zero({ lengthSectors: 8 })], async device => {
    await expectCode(device.replaceTable([]), 'DM_INVALID_ARGUMENT')
    expect(dmTable(device.name)).toBe('0 8 zero')
    expect(dmInfo(device.name)).toMatchObject({ suspended: false, inactiveTable: false })
  })
})

test('a table of three segments on three devices is read as one device', async () => {
  await withDevices(scratch, [MiB, MiB, MiB], async numbers => {
    for (const [at, number] of numbers.entries()) await writeAt(nodeOf(number), 4096 * at, pattern(at + 1, 4096))
    const table = numbers.map((number, at) => piece(number, 8 * at))
    await withDevice(table, async device => {
      const whole = Buffer.concat([1, 2, 3].map(seed => pattern(seed, 4096)))
      expect((await readAt(device.path, 0, 12288)).equals(whole)).toBe(true)
      expect(await device.deps()).toEqual(expect.arrayContaining(numbers))
      expect(dmTable(device.name).split('\n')).toEqual(
        numbers.map((number, at) => `${8 * at} 8 linear ${number} ${8 * at}`),
      )
    })
  })
})

test('one device can be split into two devices', async () => {
  await withDevices(scratch, [8192], async ([number]) => {
    await writeAt(nodeOf(number!), 0, pattern(4, 8192))
    for (const at of [0, 1]) {
      await withDevice([piece(number!, 8 * at)], async device => {
        expect((await readAt(device.path, 0, 8192)).equals(pattern(4, 8192).subarray(4096 * at, 4096 * (at + 1)))).toBe(
          true,
        )
      })
    }
  })
})

test('a table with one segment twice maps the same data twice, and has one dependency', async () => {
  await withDevices(scratch, [MiB], async ([number]) => {
    await withDevice([piece(number!), piece(number!)], async device => {
      await writeAt(device.path, 4096, pattern(6, 4096))
      expect((await readAt(device.path, 0, 4096)).equals(pattern(6, 4096))).toBe(true)
      expect(await device.deps()).toEqual([number])
      expect(await device.table()).toHaveLength(2)
      const other = await MappedDevice.create({ name: scratch.name('same'), table: [piece(number!)] })
      expect((await readAt(other.path, 0, 4096)).equals(pattern(6, 4096))).toBe(true)
      await other.remove()
    })
  })
})

test('create() with the name or uuid of another device rejects with DM_NAME_TAKEN, with any table', async () => {
  const name = scratch.name('twice')
  const table = [zero({ lengthSectors: 8 })]
  const device = await MappedDevice.create({ name, uuid: `${name}-u`, table })
  await expectCode(MappedDevice.create({ name, table }), 'DM_NAME_TAKEN')
  await expectCode(MappedDevice.create({ name, table, secureData: true }), 'DM_NAME_TAKEN')
  await expectCode(MappedDevice.create({ name: `${name}-2`, uuid: `${name}-u`, table }), 'DM_NAME_TAKEN')
  expect(markedDevices()).toHaveLength(1)
  await device.remove()
})

test('rename() keeps the device, and rejects its own name and an existing one', async () => {
  scratch.log.allow(/Unable to change name/)
  const taken = scratch.name('taken')
  dmCreate(taken, '0 8 zero')
  await withDevice([zero({ lengthSectors: 8 })], async device => {
    const before = { name: device.name, number: device.device }
    await expectCode(device.rename(device.name), 'DM_NAME_TAKEN')
    await expectCode(device.rename(taken), 'DM_NAME_TAKEN')
    const name = scratch.name('renamed with blank')
    await device.rename(name)
    expect(device).toMatchObject({ name, device: before.number })
    expect(dmInfo(before.name)).toBeUndefined()
    expect(await device.info()).toMatchObject({ name, liveTable: true })
    await device.rename(before.name)
  })
  dmRemove(taken)
})

test('a device with a uuid is found after another program has renamed it, and one without a uuid is not', async () => {
  const table = [zero({ lengthSectors: 8 })]
  const uuid = scratch.name('uuid')
  for (const known of [{ uuid }, {}]) {
    const device = await MappedDevice.create({ name: scratch.name('before'), ...known, table })
    const name = scratch.name('after')
    run('dmsetup', ['rename', '--noudevsync', device.name, name])
    if ('uuid' in known) {
      expect(await device.info()).toMatchObject({ name, uuid })
      expect(device.name).toBe(name)
      run('dmsetup', ['rename', '--noudevsync', name, `${name}-2`])
      await device.rename(name)
      expect(device.name).toBe(name)
    } else {
      await expectCode(device.info(), 'DM_NOT_FOUND')
    }
    await (await MappedDevice.open(name)).remove()
  }
})

test('suspend() and resume() succeed twice', async () => {
  await withDevice([zero({ lengthSectors: 8 })], async device => {
    for (const suspended of [true, true, false, false]) {
      await (suspended ? device.suspend({ noflush: true }) : device.resume())
      expect(dmInfo(device.name)).toMatchObject({ suspended })
      expect(await device.info()).toMatchObject({ suspended })
    }
  })
})

test('open() finds a device of another program by name, uuid and number', async () => {
  const name = scratch.name('foreign')
  run('dmsetup', ['create', '--noudevsync', name, '-u', `${name}-u`, '--table', '0 8 zero'])
  if (process.env['DM_THIN_UDEV'] === '1') run('udevadm', ['settle'])
  const { number } = dmInfo(name)!
  for (const address of [name, { name }, { uuid: `${name}-u` }, { device: number }]) {
    await using device = await MappedDevice.open(address)
    expect(device).toMatchObject({ name, uuid: `${name}-u`, device: number })
  }
  await (await MappedDevice.open(name)).remove()
  await expectCode(MappedDevice.open(name), 'DM_NOT_FOUND')
})

test('an invalid table leaves no device', async () => {
  scratch.log.allow(/device-mapper: /)
  const name = scratch.name('refused')
  for (const secureData of [false, true]) {
    const table = [zero({ lengthSectors: 8 }), piece('4095:1', 0)]
    await expectCode(MappedDevice.create({ name, table, secureData }), 'DM_TABLE_REFUSED')
    expect(markedDevices()).toEqual([])
  }
})

test('readOnly makes a device read-only until its table is replaced without it', async () => {
  await withDevices(scratch, [MiB], async ([number]) => {
    const device = await MappedDevice.create({ name: scratch.name('ro'), table: [piece(number!)], readOnly: true })
    expect(dmInfo(device.name)).toMatchObject({ readOnly: true })
    await device.replaceTable([piece(number!, 8)])
    expect(dmInfo(device.name)).toMatchObject({ readOnly: false })
    await device.remove()
  })
})

test('remove() of a busy device rejects with its holders, and a deferred one completes when they close it', async () => {
  const device = await MappedDevice.create({ name: scratch.name('held'), table: [zero({ lengthSectors: 8 })] })
  const fd = openSync(device.path, 'r')
  const fault = await expectCode(device.remove({ timeoutMs: 0 }), 'DM_BUSY')
  expect(fault.holders).toMatchObject([{ kind: 'process', pid: process.pid }])
  expect(fault.message).toContain(device.name)
  expect(await device.remove({ deferred: true })).toBe(false)
  expect(await device.info()).toMatchObject({ deferredRemove: true })
  closeSync(fd)
  // The kernel removes it in a work of its own (drivers/md/dm.c do_deferred_remove).
  while (dmInfo(device.name)) await new Promise(setImmediate)
  await expectCode(MappedDevice.open(device.name), 'DM_NOT_FOUND')
})

test('a reply of dm-stats is returned completely, also to a message that can be sent only once', async () => {
  await withDevice([zero({ lengthSectors: 256 })], async device => {
    expect(await device.message('@stats_create - 1')).toBe('0')
    // A line for each sector; the message clears the counters, so that asking again would lose them.
    const lines = (await device.message('@stats_print_clear 0')).trim().split('\n')
    expect(lines).toHaveLength(256)
    expect(lines.at(-1)).toMatch(/^255\+1 0 /)
    await device.message('@stats_delete 0')
  })
})

test('close() removes nothing, and a closed object rejects with DM_CLOSED', async () => {
  const name = scratch.name('closed')
  const table = [error({ lengthSectors: 8 })]
  {
    await using device = await MappedDevice.create({ name, table })
    expect(device.name).toBe(name)
  }
  const device = await MappedDevice.open(name)
  expect(dmTable(name)).toBe('0 8 error')
  await device.close()
  for (const call of [device.table(), device.replaceTable(table), device.remove(), device.tree()]) {
    await expectCode(call, 'DM_CLOSED')
  }
  await (await MappedDevice.open(name)).remove()
})

test('tree() returns the devices down to the disks, and treeText() draws them', async () => {
  await withDevices(scratch, [MiB, MiB], async ([one, two]) => {
    const base = await MappedDevice.create({ name: scratch.name('base'), table: [piece(one!, 0, 1024)] })
    const stripes = [{ device: base.device }, { device: two! }]
    const table = [
      striped({ lengthSectors: 1024, chunkSectors: 8, stripes }),
      piece(two!, 1024, 8),
      piece(two!, 1032, 8),
      zero({ lengthSectors: 8 }),
    ]
    const top = await MappedDevice.create({ name: scratch.name('top'), table })
    const leaf = (device: string) => ({ device, path: nodeOf(device), name: null, targets: [], children: [] })
    const tree = await top.tree()
    const below = {
      device: base.device,
      path: base.path,
      name: base.name,
      targets: ['linear'],
      children: [leaf(one!)],
    }
    const deps = run('dmsetup', ['deps', '-o', 'devno', top.name]).match(/\d+, ?\d+/g)!
    expect(tree.children.map(child => child.device)).toEqual(deps.map(number => number.replace(/, ?/, ':')))
    expect(tree).toMatchObject({ device: top.device, name: top.name, targets: ['striped', 'linear', 'linear', 'zero'] })
    expect(tree.children).toEqual(expect.arrayContaining([below, leaf(two!)]))
    const picture = treeText({ ...tree, children: [below, leaf(two!)] })
    expect(picture).toBe(
      [
        `${top.name} ${top.device} striped, linear ×2, zero`,
        `├─ ${base.name} ${base.device} linear`,
        `│  └─ ${nodeOf(one!)} ${one}`,
        `└─ ${nodeOf(two!)} ${two}`,
      ].join('\n'),
    )
    expect((await expectCode(base.remove({ timeoutMs: 0 }), 'DM_BUSY')).holders).toMatchObject([{ kind: 'device' }])
    await top.remove()
    await base.remove()
  })
})
