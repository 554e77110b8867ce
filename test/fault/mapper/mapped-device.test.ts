// A mapped device of any table: each step of making it and of replacing its table made to fail in turn.
// @udev both
import { MappedDevice, zero } from '../../../lib/entry/kernel.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import {
  attemptWith,
  EIO,
  ENOMEM,
  expectNamed,
  failEach,
  noneAfter,
  undone,
  useFaults,
  type Places,
} from '../../helpers/fault/fault.js'
import { snapshotKernelState } from '../../helpers/kernel/kernel-state.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { dmInfo, dmTable } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()
const hooks = useFaults()
const small = [zero({ lengthSectors: 8 })]
const large = [zero({ lengthSectors: 16 })]

test.each([false, true])('a failure of create at any step leaves no device (secureData: %p)', async secureData => {
  const before = await snapshotKernelState()
  const name = scratch.name('step')
  const places: Places[] = [
    ['DM_DEV_CREATE', 1],
    ['DM_TABLE_LOAD', 1],
    ['DM_DEV_RESUME', 1],
  ]
  const make = () => MappedDevice.create({ name, table: small, secureData })
  await failEach(hooks, places, make, async outcome => {
    expectNamed(outcome)
    expect([outcome.where, await snapshotKernelState()]).toEqual([outcome.where, before])
  })
  for (const operation of ['DM_TABLE_LOAD', 'DM_DEV_RESUME']) {
    const outcome = await attemptWith(hooks, [operation, 1], make, { kind: 'fail-after' })
    expectNamed(outcome)
    expect(undone(outcome)).toEqual(['DM_DEV_REMOVE'])
    expect([outcome.where, await snapshotKernelState()]).toEqual([outcome.where, before])
  }
  await (await noneAfter(hooks, places, make)).remove()
})

describe('replacing a table', () => {
  let device: MappedDevice
  beforeEach(async () => {
    device = await MappedDevice.create({ name: scratch.name('replace'), table: small })
  })
  afterEach(async () => {
    hooks.clearFaults()
    await device.remove()
  })
  const replace = () => device.replaceTable(large)

  test('keeps the old table live and loads nothing if any step fails', async () => {
    const before = await snapshotKernelState()
    const places: Places[] = [
      ['DM_TABLE_STATUS', 1],
      ['DM_DEV_STATUS', 1],
      ['DM_TABLE_LOAD', 1],
      ['DM_DEV_RESUME', 1],
    ]
    await failEach(hooks, places, replace, async outcome => {
      expectNamed(outcome)
      expect([outcome.where, await snapshotKernelState()]).toEqual([outcome.where, before])
    })
    await noneAfter(hooks, places, replace)
    expect(dmTable(device.name)).toBe('0 16 zero')
  })

  test('restores the old table if a step succeeds and is reported as failed', async () => {
    const before = await snapshotKernelState()
    for (const operation of ['DM_TABLE_LOAD', 'DM_DEV_RESUME']) {
      const outcome = await attemptWith(hooks, [operation, 1], replace, { kind: 'fail-after' })
      expectNamed(outcome)
      expect([outcome.where, await snapshotKernelState()]).toEqual([outcome.where, before])
    }
  })

  test('reports both errors and keeps the old table live if a rollback step fails', async () => {
    // The resume is not made, so that what was loaded is there to be cleared; that fails, and it must not go live.
    hooks.setFault('DM_TABLE_CLEAR', 1, 'fail', ENOMEM)
    const { fault } = await attemptWith(hooks, ['DM_DEV_RESUME', 1], replace)
    expect(fault).toMatchObject({ operation: 'DM_DEV_RESUME', errno: EIO })
    expect(fault!.rollback).toEqual([
      { operation: 'DM_TABLE_CLEAR', device: device.name, errno: ENOMEM },
      { operation: 'DM_TABLE_LOAD', device: device.name, errno: 0 },
      { operation: 'DM_DEV_RESUME', device: device.name, errno: 0 },
    ])
    expect(fault!.message).toContain(`not undone: DM_TABLE_CLEAR of ${device.name}`)
    expect(dmTable(device.name)).toBe('0 8 zero')
    expect(dmInfo(device.name)).toMatchObject({ suspended: false, inactiveTable: false })
  })

  test.each([
    ['DM_TABLE_LOAD', 'fail'],
    ['DM_DEV_RESUME', 'fail-after'],
  ] as const)('does not clear a table that was not loaded: %s, %s', async (operation, kind) => {
    hooks.setFault('DM_TABLE_CLEAR', 1, 'fail', ENOMEM)
    hooks.setFault(operation, 1, kind, EIO)
    await expectCode(replace(), 'DM_TABLE_REFUSED')
    expect(hooks.clearFaults()).toBe(1) // the clear was not tried
    expect(dmTable(device.name)).toBe('0 8 zero')
    expect(dmInfo(device.name)).toMatchObject({ suspended: false, inactiveTable: false })
  })
})
