// Every method of a pool and of a volume, in every state that a pool is met in: what resolves, what is refused with
// which code, what waits in the kernel and can be given up. What is refused leaves the kernel as it was.
//
// Scenario                                                  Test
// each method while busy, full, closed (missing everywhere) all of this file
// K  activate while the pool is suspended fails             pool suspended
// M  ResizePool: a failure leaves the pool suspended        ThinPool.grow, in each state
// D  a failed create_snap leaves the origin suspended       snapshot, in each state
// the devices below                                         state-matrix-devices.test.ts
import {
  MiB,
  ThinPool,
  ThinVolume,
  volumesOf,
  type ErrorCode,
  type Keeper,
  type MetadataSnapshot,
} from '../../../lib/entry/index.js'
import { collect } from '../../helpers/metadata/collect.js'
import { snapshotKernelState } from '../../helpers/kernel/kernel-state.js'
import { DISPOSE, methodsOf, offered, tryRows, type Row } from '../../helpers/pool/matrix.js'
import { inPoolState, POOL_STATES, type PoolBench, type PoolState } from '../../helpers/pool/pool-states.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run } from '../../helpers/process/spawned.js'
import { dmInfo } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()
const SIZE = { sizeBytes: 8 * MiB }
/** A keeper with this changes the table of the pool, and grows nothing. */
const NO_GROWTH = { growBelowBytes: 1, stepBytes: 64 * 1024, minBytes: 0, extend: () => {} }

const inEach = (code: ErrorCode) =>
  Object.fromEntries(POOL_STATES.map(state => [state, code])) as Record<PoolState, ErrorCode>
const CLOSED = { closed: 'DM_CLOSED' } as const
const GONE = { gone: 'DM_NOT_FOUND', ...CLOSED } as const
const NO_METADATA = { failed: 'DM_POOL_FAILED', ...GONE } as const
const NO_MESSAGE = { 'read-only': 'DM_POOL_READ_ONLY', ...NO_METADATA } as const
const NOT_COMMITTED = { 'read-only': 'DM_NOT_COMMITTED', failed: 'DM_NOT_COMMITTED', ...GONE } as const
const NO_SUSPEND = { 'pool suspended': 'DM_POOL_SUSPENDED', full: 'waits', ...NO_MESSAGE } as const
const NO_ACTIVATION = { 'pool suspended': 'DM_POOL_SUSPENDED', ...NO_METADATA } as const

const bookmark = () => scratch.path('matrix.bookmark')

type PoolRow = Row<PoolBench, PoolState>
const row = (
  method: string,
  how: string,
  states: PoolRow['in'],
  call: PoolRow['call'],
  more: Pick<PoolRow, 'then' | 'partly'> = {},
): PoolRow => ({ method, how, in: states, call, ...more })

const deactivate: PoolRow['then'] = ({ idle }) => idle.deactivate()
const destroy: PoolRow['then'] = (_, volume) => (volume as ThinVolume).destroy()
const destroyAll: PoolRow['then'] = (_, made) => Promise.all((made as ThinVolume[]).map(volume => volume.destroy()))
const resumed =
  (then: PoolRow['then']): PoolRow['then'] =>
  async (bench, value) => {
    expect(dmInfo(bench.live.name)).toMatchObject({ suspended: bench.state === 'volume suspended' })
    await then!(bench, value)
  }

async function watched({ pool }: PoolBench): Promise<void> {
  const watch = pool.events()
  await watch.ready
  watch.close()
}

async function createAgain({ pool: { name } }: PoolBench): Promise<ThinPool> {
  const source = (role: string) => ({ file: scratch.path(`other-${role}`), sizeBytes: 16 * MiB })
  return ThinPool.create({ name, data: source('data'), metadata: source('metadata') })
}

/** In the order in which they can be tried: what takes the pool's volumes away, and the pool, comes last. */
const ROWS: readonly PoolRow[] = [
  row('ThinPool.status', '', GONE, ({ pool }) => pool.status()),
  row('ThinPool.volume', 'active', GONE, ({ pool, live }) => pool.volume(live.id)),
  row('ThinPool.volume', 'inactive', NO_METADATA, ({ pool, idle }) => pool.volume(idle.id)),
  row('ThinPool.volumes', '', NO_METADATA, ({ pool }) => pool.volumes()),
  row('ThinPool.usage', '', NO_METADATA, ({ pool }) => pool.usage()),
  row('ThinPool.check', 'quick', GONE, ({ pool }) => pool.check({ depth: 'quick' })),
  row('ThinPool.check', 'full', GONE, ({ pool }) => pool.check()),
  row('ThinPool.metrics', '', GONE, ({ pool }) => pool.metrics()),
  row('ThinPool.events', '', CLOSED, watched),
  row('ThinPool.statusMany', '', { gone: 'DM_NOT_ACTIVE', ...CLOSED }, async ({ pool, live }) =>
    volumesOf(await pool.statusMany([live])),
  ),
  row('ThinPool.open', '', { gone: 'DM_NOT_FOUND' }, async ({ pool: { name } }) =>
    (await ThinPool.open({ name, repair: false })).close(),
  ),
  row('ThinPool.create', 'of that name', { ...inEach('DM_NAME_TAKEN'), gone: 'resolves' }, createAgain, {
    then: (_, pool) => (pool as ThinPool).remove({ deleteFiles: true }),
  }),
  row('ThinPool.createVolume', '', NO_MESSAGE, ({ pool }) => pool.createVolume(SIZE), { then: destroy }),
  row('ThinPool.createVolume', 'by id', NO_MESSAGE, ({ pool }) => pool.createVolume({ ...SIZE, id: 99 }), {
    then: destroy,
  }),
  row('ThinPool.setTransactionId', '', NO_MESSAGE, ({ pool }) => pool.setTransactionId({ currentId: 0n, newId: 0n })),
  row('ThinPool.commit', '', NOT_COMMITTED, ({ pool }) => pool.commit()),
  row('ThinPool.reserveMetadataSnapshot', '', NO_MESSAGE, ({ pool }) => pool.reserveMetadataSnapshot(), {
    then: (_, held) => (held as MetadataSnapshot).release(),
  }),
  row(
    'ThinPool.releaseMetadataSnapshot',
    'that is not held',
    { ...inEach('DM_METADATA_SNAPSHOT_NOT_HELD'), ...NO_MESSAGE },
    ({ pool }) => pool.releaseMetadataSnapshot(),
  ),
  row(
    'ThinPool.snapshotMany',
    'active',
    NO_SUSPEND,
    async ({ pool, live }, signal) => volumesOf(await pool.snapshotMany(live, 2, { signal })),
    { then: resumed(destroyAll) },
  ),
  row(
    'ThinPool.snapshotMany',
    'inactive',
    NO_MESSAGE,
    async ({ pool, idle }) => volumesOf(await pool.snapshotMany(idle, 2)),
    { then: destroyAll },
  ),
  row('ThinPool.fork', 'active', NO_SUSPEND, ({ pool, live }, signal) => pool.fork(live, 2, { signal }), {
    then: resumed(destroyAll),
  }),
  row('ThinPool.fork', 'inactive', { ...NO_ACTIVATION, ...NO_MESSAGE }, ({ pool, idle }) => pool.fork(idle, 2), {
    then: destroyAll,
  }),
  row(
    'ThinPool.activateMany',
    '',
    NO_ACTIVATION,
    async ({ pool, idle }) => volumesOf(await pool.activateMany([idle])),
    { then: deactivate },
  ),

  row('ThinVolume.status', 'active', { gone: 'DM_NOT_ACTIVE', ...CLOSED }, ({ live }) => live.status()),
  row('ThinVolume.status', 'inactive', { ...inEach('DM_NOT_ACTIVE'), ...CLOSED }, ({ idle }) => idle.status()),
  row('ThinVolume.snapshot', 'active', NO_SUSPEND, ({ live }, signal) => live.snapshot({ signal }), {
    then: resumed(destroy),
  }),
  row('ThinVolume.snapshot', 'inactive', NO_MESSAGE, ({ idle }) => idle.snapshot(), { then: destroy }),
  row(
    'ThinVolume.snapshot',
    'activated',
    { 'pool suspended': 'DM_POOL_SUSPENDED', ...NO_MESSAGE },
    ({ idle }) => idle.snapshot({ activate: true }),
    { then: destroy },
  ),
  row('ThinVolume.activate', 'inactive', NO_ACTIVATION, ({ idle }) => idle.activate(), { then: deactivate }),
  row('ThinVolume.activate', 'active', { ...inEach('DM_ALREADY_ACTIVE'), ...GONE }, ({ live }) => live.activate()),
  row('ThinVolume.delete', 'active', { ...inEach('DM_VOLUME_ACTIVE'), ...NO_MESSAGE }, ({ live }) => live.delete()),
  row('ThinVolume.delete', 'inactive', NO_MESSAGE, ({ unwanted }) => unwanted().delete()),
  row('ThinVolume.bookmark', '', NO_MESSAGE, ({ idle }) => idle.bookmark(bookmark())),
  row('ThinVolume.changedSince', '', NO_MESSAGE, ({ idle }) => collect(idle.changedSince(bookmark()))),
  row('ThinVolume.refresh', 'active', CLOSED, ({ live }) => live.refresh()),
  row('ThinVolume.refresh', 'inactive', CLOSED, ({ idle }) => idle.refresh()),

  row('ThinVolume.grow', 'active', { 'volume suspended': 'DM_BUSY', ...NO_ACTIVATION }, ({ live }) =>
    live.grow({ sizeBytes: live.sizeBytes! + 8 * MiB }),
  ),
  row('ThinVolume.grow', 'inactive', GONE, ({ idle }) => idle.grow({ sizeBytes: idle.sizeBytes! + 8 * MiB })),
  row('ThinPool.keep', '', NO_ACTIVATION, ({ pool }) => pool.keep({ data: NO_GROWTH, metadata: NO_GROWTH }), {
    then: (_, keeper) => (keeper as Keeper).stop(),
  }),
  row('ThinPool.grow', '', { 'pool suspended': 'DM_POOL_SUSPENDED', ...NO_MESSAGE }, ({ pool }) =>
    pool.grow({ dataBytes: 128 * MiB }),
  ),
  row('ThinVolume.deactivate', 'inactive', CLOSED, ({ idle }) => idle.deactivate()),
  row('ThinVolume.deactivate', 'active', { busy: 'DM_BUSY', ...CLOSED }, ({ spare, patience }) =>
    spare().deactivate(patience),
  ),
  row('ThinPool.deactivateMany', '', { busy: 'DM_BUSY', ...CLOSED }, async ({ pool, spare, patience }) =>
    volumesOf(await pool.deactivateMany([spare()], patience)),
  ),
  row('ThinPool.deleteMany', 'active', { ...inEach('DM_VOLUME_ACTIVE'), ...NO_MESSAGE }, async ({ pool, live }) =>
    volumesOf(await pool.deleteMany([live])),
  ),
  row('ThinPool.deleteMany', 'inactive', NO_MESSAGE, async ({ pool, unwanted }) =>
    volumesOf(await pool.deleteMany([unwanted()])),
  ),
  row(
    'ThinVolume.destroy',
    'active',
    { busy: 'DM_BUSY', ...NO_MESSAGE },
    ({ spare, patience }) => spare().destroy(patience),
    { partly: true }, // inactive, and not deleted
  ),
  row('ThinPool.repair', 'in use', { ...inEach('DM_POOL_IN_USE'), gone: 'DM_NOT_FOUND' }, ({ pool: { name } }) =>
    ThinPool.repair({ name }),
  ),
  row('ThinPool.remove', 'in use', { ...inEach('DM_POOL_IN_USE'), ...GONE }, ({ pool }) => pool.remove()),
  row('ThinPool.remove', 'with its volumes', { busy: 'DM_BUSY', ...GONE }, ({ pool, patience }) =>
    pool.remove({ deactivate: true, ...patience }),
  ),
  row('ThinVolume.close', '', {}, ({ live }) => live.close()),
  row(`ThinVolume.${DISPOSE}`, '', {}, ({ live }) => live[Symbol.asyncDispose]()),
  row('ThinPool.close', '', {}, ({ pool }) => pool.close()),
  row(`ThinPool.${DISPOSE}`, '', {}, ({ pool }) => pool[Symbol.asyncDispose]()),
]

const POOL_GETTERS = ['dataBlockBytes', 'findings', 'name', 'path'] as const
const VOLUME_GETTERS = ['active', 'externalOrigin', 'name', 'path', 'sizeBytes'] as const

/** Devices, tables, loop devices by their own tools; and the ids of the pool, where they can be read. */
async function unchanged({ pool: { name } }: PoolBench): Promise<string> {
  if (process.env['DM_THIN_UDEV'] === '1') run('udevadm', ['settle'])
  const ids = async () => {
    const other = await ThinPool.open({ name, repair: false })
    return (await other.volumes()).map(volume => volume.id)
  }
  return `${await snapshotKernelState()} ${String(await ids().catch((fault: { code: string }) => fault.code))}`
}

test('the table of this test has every method of pools and volumes', () => {
  const internal = ['belongsTo', 'context', 'run', 'snapshotUnwritten', 'space', 'state']
  const known = (type: string) => methodsOf(ROWS.filter(each => each.method.startsWith(`${type}.`)))
  for (const type of [ThinPool, ThinVolume]) {
    const methods = offered(type).methods.filter(name => !internal.includes(name))
    expect(known(type.name)).toEqual(methods.map(name => `${type.name}.${name}`))
  }
  expect(offered(ThinPool).getters.filter(name => !internal.includes(name))).toEqual(POOL_GETTERS)
  expect(offered(ThinVolume).getters.filter(name => !internal.includes(name))).toEqual(VOLUME_GETTERS)
})

test.each(POOL_STATES)('each method resolves, rejects or waits as the table states, if the pool is %s', async state => {
  await inPoolState(scratch, state, async bench => {
    for (const getter of POOL_GETTERS) expect(bench.pool[getter]).toBeDefined()
    for (const getter of VOLUME_GETTERS) expect(() => bench.live[getter]).not.toThrow()
    await tryRows(ROWS, state, bench, () => unchanged(bench))
  })
})
