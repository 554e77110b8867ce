// ThinPool.create with files, and ThinPool.open of a pool at rest: each step made to fail in turn.
// @udev both @second-kernel
import { mkdirSync, rmSync } from 'node:fs'
import { MiB, ThinPool } from '../../../lib/entry/index.js'
import {
  attemptWith,
  EIO,
  ENOMEM,
  expectNamed,
  failEach,
  filesIn,
  noneAfter,
  undone,
  useFaults,
  type Places,
} from '../../helpers/fault/fault.js'
import { snapshotKernelState } from '../../helpers/kernel/kernel-state.js'
import { takeDown } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'

const scratch = useScratch()
const hooks = useFaults()

let folder: string
let name: string
const create = () =>
  ThinPool.create({
    name,
    data: { file: `${folder}/data`, sizeBytes: 16 * MiB },
    metadata: { file: `${folder}/metadata`, sizeBytes: 2 * MiB },
  })
const open = () => ThinPool.open({ name, data: { file: `${folder}/data` }, metadata: { file: `${folder}/metadata` } })

describe('a pool over files', () => {
  beforeEach(() => {
    name = scratch.name('step')
    folder = scratch.path(name)
    mkdirSync(folder)
  })
  afterEach(async () => {
    await takeDown(name)
    rmSync(folder, { recursive: true })
  })

  describe('ThinPool.create with files', () => {
    const FILES: Places[] = [
      ['create file', 2],
      ['ftruncate', 4],
      ['statx', 8],
      ['link file', 2],
    ]
    const LOOPS: Places[] = [
      ['open loop-control', 2],
      ['LOOP_CTL_GET_FREE', 2],
      ['LOOP_CONFIGURE', 2],
      ['LOOP_GET_STATUS64', 3],
      ['open loop', 5],
    ]
    const MAPPER: Places[] = [
      ['DM_DEV_STATUS', 1],
      ['DM_DEV_CREATE', 1],
      ['DM_TABLE_LOAD', 1],
      ['DM_DEV_RESUME', 1],
      ['DM_TABLE_STATUS', 2],
    ]
    const READS: Places[] = [
      ['open', 8],
      ['open node', 2],
      ['lock node', 2],
    ]

    test.each([
      ['files', FILES],
      ['loop devices', LOOPS],
      ['the device mapper', MAPPER],
      ['reading the devices', READS],
    ])('leaves nothing behind if any step with %s fails', async (_, places) => {
      const before = await snapshotKernelState()
      await failEach(hooks, places, create, async outcome => {
        expectNamed(outcome)
        expect([outcome.where, await snapshotKernelState()]).toEqual([outcome.where, before])
        expect(filesIn(folder)).toEqual([])
      })
      await noneAfter(hooks, places, create)
    })

    test('lists all rollback steps, newest first', async () => {
      const made = ['LOOP_CLR_FD', 'LOOP_CLR_FD', 'unlink', 'unlink'] // the files are made and locked before both are attached
      expect(undone(await attemptWith(hooks, ['ftruncate', 1], create))).toEqual([]) // it had no name yet
      expect(undone(await attemptWith(hooks, ['LOOP_CONFIGURE', 2], create))).toEqual(made.slice(1))
      expect(undone(await attemptWith(hooks, ['DM_DEV_CREATE', 1], create))).toEqual(made)
      expect(undone(await attemptWith(hooks, ['DM_DEV_RESUME', 1], create))).toEqual(['DM_DEV_REMOVE', ...made])
    })

    test('rolls back a step that succeeds and is reported as failed', async () => {
      const before = await snapshotKernelState()
      for (const operation of ['DM_TABLE_LOAD', 'DM_DEV_RESUME', 'ftruncate', 'pread']) {
        const outcome = await attemptWith(hooks, [operation, 1], create, { kind: 'fail-after' })
        expectNamed(outcome)
        expect([outcome.where, await snapshotKernelState()]).toEqual([outcome.where, before])
        expect(filesIn(folder)).toEqual([])
      }
    })

    test('reports both errors if a rollback step fails', async () => {
      hooks.setFault('unlink', 2, 'fail', ENOMEM)
      const { fault } = await attemptWith(hooks, ['DM_DEV_CREATE', 1], create)
      expect(fault).toMatchObject({ operation: 'DM_DEV_CREATE', errno: EIO })
      const left = `${folder}/data`
      expect(fault!.rollback.filter(step => step.errno !== 0)).toEqual([
        { operation: 'unlink', device: left, errno: ENOMEM },
      ])
      expect(fault!.message).toContain(`not undone: unlink of ${left}`)
      expect(filesIn(folder)).toEqual([`data ${16 * MiB}`])
    })

    test('starts a pool if /run is read-only', async () => {
      const { value } = await attemptWith(hooks, ['open lock', 1], create, { errno: 30 })
      expect((await value!.status()).mode).toBe('rw')
    })
  })

  test('a failure of ThinPool.open at any step leaves the pool stopped', async () => {
    const made = await create()
    await made.createVolume({ sizeBytes: MiB, id: 5 })
    await made.remove()
    const PLACES: Places[] = [
      ['statx', 8],
      ['LOOP_CONFIGURE', 2],
      ['LOOP_GET_STATUS64', 4],
      ['DM_DEV_CREATE', 1],
      ['DM_TABLE_LOAD', 1],
      ['DM_DEV_RESUME', 1],
      ['DM_TABLE_STATUS', 4],
      ['DM_LIST_DEVICES', 1],
    ]
    const before = await snapshotKernelState()
    const files = filesIn(folder)
    await failEach(hooks, PLACES, open, async outcome => {
      expectNamed(outcome)
      expect([outcome.where, await snapshotKernelState()]).toEqual([outcome.where, before])
      expect(filesIn(folder)).toEqual(files)
    })
    const pool = await noneAfter(hooks, PLACES, open)
    expect((await pool.volumes()).map(volume => volume.id)).toEqual([5])
    expect(pool.findings).toEqual([])
  })
})
