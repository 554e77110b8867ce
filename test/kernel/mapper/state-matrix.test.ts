// Every method of a mapped device and of a loop device, in every state that one is met in: what resolves, what is
// refused with which code, what waits in the kernel and can be given up.
//
// Scenario                                                  Test
// each method while suspended, busy, closed (missing)       all of this file
// K  suspend of a thin whose pool is suspended waits        MappedDevice, pool suspended
// containerd#4234 suspend that hangs behind stuck I/O       MappedDevice, stuck
// M  LockReleasedDeviceDeletion                             LoopDevice, busy
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, truncateSync, writeFileSync } from 'node:fs'
import { LoopDevice, MiB, type ErrorCode } from '../../../lib/entry/index.js'
import { linear, MappedDevice, zero } from '../../../lib/entry/kernel.js'
import { inFlight } from '../../helpers/kernel/in-flight.js'
import { snapshotKernelState } from '../../helpers/kernel/kernel-state.js'
import { DISPOSE, methodsOf, offered, tryRows, type Row } from '../../helpers/pool/matrix.js'
import { withPool } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run } from '../../helpers/process/spawned.js'
import { dmInfo, dmRemove, dmResume, dmSuspend } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()
type Leave = (() => Promise<void> | void) | void

/** What the tools of others say; settled, since udev may look at what is new. */
async function unchanged(): Promise<string> {
  if (process.env['DM_THIN_UDEV'] === '1') run('udevadm', ['settle'])
  return Promise.resolve(await snapshotKernelState())
}

/** Waits no longer than it must where somebody holds the device on purpose. */
const patienceIn = (state: string) => ({ timeoutMs: state === 'busy' || state === 'stuck' ? 0 : 10_000 })
const inEach = <State extends string>(states: readonly State[], code: ErrorCode) =>
  Object.fromEntries(states.map(state => [state, code])) as Record<State, ErrorCode>

describe('a MappedDevice', () => {
  /** `stuck`: a write to it waits in a suspended device below. `pool suspended`: it is a thin, and its pool is. */
  const STATES = ['active', 'suspended', 'busy', 'stuck', 'pool suspended', 'gone', 'closed'] as const
  type State = (typeof STATES)[number]
  interface Bench {
    readonly state: State
    readonly device: MappedDevice
    /** In the same state. The kernel must not rename what has had a table cleared: see docs/kernel-versions.md. */
    readonly other: MappedDevice
  }
  const LENGTH = 2048
  const GONE = { gone: 'DM_NOT_FOUND', closed: 'DM_CLOSED' } as const
  const WAITS = { 'pool suspended': 'waits', stuck: 'waits', ...GONE } as const
  const create = (name: string) => MappedDevice.create({ name, table: [zero({ lengthSectors: LENGTH })] })
  const row = (
    method: string,
    how: string,
    states: Row<Bench, State>['in'],
    call: Row<Bench, State>['call'],
    then?: Row<Bench, State>['then'],
  ): Row<Bench, State> => ({ method, how, in: states, call, then })

  /** Back into the state, after a call that resumed. */
  const again = async ({ state, device: { name } }: Bench) => {
    if (state === 'suspended') dmSuspend(name)
    else dmResume(name)
    return Promise.resolve()
  }
  const ROWS = [
    row('info', '', GONE, ({ device }) => device.info()),
    row('table', '', GONE, ({ device }) => device.table()),
    row('status', '', GONE, ({ device }) => device.status()),
    row('deps', '', GONE, ({ device }) => device.deps()),
    row('tree', '', GONE, ({ device }) => device.tree()),
    row('message', '', GONE, ({ device }) => device.message('@cancel_deferred_remove')),
    row('open', '', { gone: 'DM_NOT_FOUND' }, ({ device }) => MappedDevice.open(device.name)),
    row(
      'create',
      'of that name',
      { ...inEach(STATES, 'DM_NAME_TAKEN'), gone: 'resolves' },
      ({ device }) => create(device.name),
      (_, made) => (made as MappedDevice).remove(),
    ),
    row('suspend', '', WAITS, ({ device }, signal) => device.suspend({ signal }), again),
    row('resume', '', GONE, ({ device }) => device.resume(), again),
    row(
      'replaceTable',
      '',
      WAITS,
      ({ device }, signal) => device.replaceTable([zero({ lengthSectors: LENGTH })], { signal }),
      again,
    ),
    row(
      'rename',
      '',
      GONE,
      ({ other }) => other.rename(scratch.name('renamed')),
      async ({ other }) => expect(dmInfo(other.name)).toBeDefined(),
    ),
    row('remove', '', { busy: 'DM_BUSY', stuck: 'DM_BUSY', ...GONE }, ({ state, device }) =>
      device.remove(patienceIn(state)),
    ),
    row('close', '', {}, ({ device }) => device.close()),
    row(DISPOSE, '', {}, ({ device }) => device[Symbol.asyncDispose]()),
  ]

  const ENTER: Record<State, (bench: Bench) => Promise<Leave> | Leave> = {
    active: () => {},
    suspended: ({ device, other }) => [device, other].forEach(each => dmSuspend(each.name)),
    busy: ({ device }) => {
      const fd = openSync(device.path, 'r')
      return () => closeSync(fd)
    },
    stuck: async ({ device }) => {
      const [below] = (await device.deps()) as [string]
      dmSuspend(nameOf(below))
      const writer = spawn('dd', ['if=/dev/zero', `of=${device.path}`, 'bs=4k', 'count=1', 'oflag=direct'], {
        stdio: 'ignore',
      })
      const ended = once(writer, 'exit')
      while (inFlight(device.path) === 0) continue
      return async () => {
        dmResume(nameOf(below))
        await ended
      }
    },
    'pool suspended': () => {},
    gone: ({ device, other }) => [device, other].forEach(each => dmRemove(each.name)),
    closed: async ({ device, other }) => {
      await device.close()
      await other.close()
    },
  }
  const nameOf = (number: string): string => {
    const [major = '', minor = ''] = number.split(':')
    const columns = ['-c', '--noheadings', '-o', 'name']
    return run('dmsetup', ['info', ...columns, '--major', major, '--minor', minor]).trim()
  }

  async function inState(state: State, body: (bench: Bench) => Promise<void>): Promise<void> {
    if (state === 'pool suspended') {
      return withPool(async pool => {
        const thins = await Promise.all([0, 1].map(id => pool.createVolume({ sizeBytes: LENGTH * 512, id })))
        await Promise.all(thins.map(thin => thin.activate()))
        const [device, other] = await Promise.all(thins.map(thin => MappedDevice.open(thin.name)))
        dmSuspend(pool.name)
        await body({ state, device: device!, other: other! })
      })
    }
    const below = await create(scratch.name('below'))
    const table = [linear({ lengthSectors: LENGTH, device: below.device, offsetSectors: 0 })]
    const device = await MappedDevice.create({ name: scratch.name('device'), table })
    const other = await create(scratch.name('other'))
    const bench = { state, device, other }
    const leave = await ENTER[state](bench)
    await body(bench)
    await leave?.()
    for (const { name } of [device, other, below]) if (dmInfo(name)) dmRemove(name)
  }

  test('has all of its methods in the table of this test', () => {
    expect(methodsOf(ROWS)).toEqual(offered(MappedDevice).methods)
    expect(offered(MappedDevice).getters).toEqual(['device', 'name', 'path', 'uuid'])
  })

  test.each(STATES)('resolves, rejects or waits in each method as the table states, if it is %s', async state => {
    await inState(state, async bench => {
      const { device, name, path, uuid } = bench.device
      expect([device, name, path, uuid]).not.toContain(undefined)
      await tryRows(ROWS, state, bench, unchanged)
    })
  })
})

describe('a LoopDevice', () => {
  const STATES = ['active', 'read-only', 'busy', 'gone', 'closed'] as const
  type State = (typeof STATES)[number]
  interface Bench {
    readonly state: State
    readonly device: LoopDevice
    readonly file: string
    /** As large. */
    readonly another: string
  }
  const CLOSED = { closed: 'DM_CLOSED' } as const
  const GONE = { gone: 'DM_KERNEL', ...CLOSED } as const
  const row = (
    method: string,
    states: Row<Bench, State>['in'],
    call: Row<Bench, State>['call'],
    more: Pick<Row<Bench, State>, 'then' | 'partly'> = {},
  ): Row<Bench, State> => ({ method, how: '', in: states, call, ...more })

  const ROWS = [
    row('list', {}, () => LoopDevice.list()),
    row('findLeaked', {}, () => LoopDevice.findLeaked()),
    row(
      'attach',
      { ...inEach(STATES, 'DM_FILE_ATTACHED'), gone: 'resolves' },
      ({ file }) => LoopDevice.attach({ file }),
      { then: (_, made) => (made as LoopDevice).detach() },
    ),
    row('refresh', GONE, ({ device }) => device.refresh()),
    row('resize', GONE, ({ device }) => device.resize()),
    row('setDirectIo', GONE, ({ device }) => device.setDirectIo(false)),
    row('changeFile', { active: 'DM_INVALID_ARGUMENT', busy: 'DM_INVALID_ARGUMENT', ...GONE }, ({ device, another }) =>
      device.changeFile(another),
    ),
    row('detach', { busy: 'DM_BUSY', ...CLOSED }, ({ state, device }) => device.detach(patienceIn(state)), {
      partly: true, // the kernel detaches it when it is let go
    }),
    row('close', {}, ({ device }) => device.close()),
    row(DISPOSE, {}, ({ device }) => device[Symbol.asyncDispose]()),
  ]

  const ENTER: Record<State, (bench: Bench) => Promise<Leave> | Leave> = {
    active: () => {},
    'read-only': () => {},
    busy: ({ device }) => {
      const fd = openSync(device.path, 'r')
      return () => closeSync(fd)
    },
    gone: ({ device }) => void run('losetup', ['--detach', device.path]),
    closed: async ({ device }) => {
      await device.close()
      return () => void run('losetup', ['--detach', device.path])
    },
  }

  test('has all of its methods in the table of this test', () => {
    expect(methodsOf(ROWS)).toEqual(offered(LoopDevice).methods)
    expect(offered(LoopDevice).getters).toEqual(['file', 'info', 'number', 'path'])
  })

  test.each(STATES)('resolves or rejects in each method as the table states, if it is %s', async state => {
    const [file, another] = ['file', 'another'].map(role => scratch.path(`${role}-${state}`)) as [string, string]
    for (const each of [file, another]) {
      writeFileSync(each, '')
      truncateSync(each, MiB)
    }
    const device = await LoopDevice.attach({ file, readOnly: state === 'read-only' })
    const bench = { state, device, file, another }
    const leave = await ENTER[state](bench)
    expect([device.file, device.info.number, device.path]).toEqual([file, device.number, `/dev/loop${device.number}`])
    await tryRows(ROWS, state, bench, unchanged)
    await leave?.()
  })
})
