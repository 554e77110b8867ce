// Scenario                                                  Test
// C12 options lost at each restart; names and sizes         contract/records.ts
// the record cannot be written                              a change whose record cannot be written is …
// a crash while it is written                               an incomplete record of a killed …
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { MiB, ThinPool } from '../../../lib/entry/index.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { snapshotKernelState } from '../../helpers/kernel/kernel-state.js'
import { withPool } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'

const scratch = useScratch()

/** A pool with a record in a folder that can be moved away. */
async function withRecord(body: (pool: ThinPool, record: string, move: (away: boolean) => void) => Promise<void>) {
  const folder = scratch.path('state')
  mkdirSync(folder)
  const record = `${folder}/pool.json`
  await withPool({ record }, pool =>
    body(pool, record, away => renameSync(away ? folder : `${folder}-away`, away ? `${folder}-away` : folder)),
  )
  rmSync(folder, { recursive: true })
}

test('a change whose record cannot be written is rolled back, and succeeds when the record is writable', () =>
  withRecord(async (pool, record, move) => {
    const volume = await pool.createVolume({ sizeBytes: MiB, id: 0 })
    const origin = await (await pool.createVolume({ sizeBytes: MiB, id: 1 })).activate()
    const before = await snapshotKernelState()
    move(true)
    const fault = await expectCode(pool.createVolume({ sizeBytes: MiB, id: 5 }), 'DM_RECORD')
    expect(fault).toMatchObject({ rollback: [{ operation: 'delete 5', device: pool.name, errno: 0 }] })
    await expectCode(origin.snapshot({ id: 6, activate: true }), 'DM_RECORD')
    const many = await expectCode(pool.snapshotMany(origin, [7, 8]), 'DM_RECORD')
    expect(many.rollback.map(step => step.operation)).toEqual(['delete 7', 'delete 8'])
    const activated = await expectCode(volume.activate({ sizeBytes: 2 * MiB }), 'DM_RECORD')
    expect(activated.rollback).toMatchObject([{ operation: 'DM_DEV_REMOVE', errno: 0 }])
    expect(await snapshotKernelState()).toBe(before)
    move(false)
    expect((await pool.volumes()).map(({ id, sizeBytes }) => [id, sizeBytes])).toEqual([
      [0, MiB],
      [1, MiB],
    ])
    await volume.activate({ sizeBytes: 2 * MiB })
    expect(JSON.parse(readFileSync(record, 'utf8'))).toMatchObject({
      volumes: [{ id: 0, sizeBytes: 2 * MiB }, { id: 1 }],
    })
    await volume.deactivate()
  }))

test('an incomplete record of a killed process is ignored, and replaced by the next change', () =>
  withRecord(async (pool, record) => {
    await pool.createVolume({ sizeBytes: MiB, id: 3 })
    writeFileSync(`${record}.new`, '{"format":1,')
    const again = await ThinPool.open({ name: pool.name, record })
    expect(again.findings).toEqual([])
    await again.createVolume({ sizeBytes: MiB, id: 4 })
    expect(existsSync(`${record}.new`)).toBe(false)
    expect((await pool.volumes()).map(({ id, sizeBytes }) => [id, sizeBytes])).toEqual([
      [3, MiB],
      [4, MiB],
    ])
  }))

test('remove({ deleteFiles: true }) deletes the record', async () => {
  const record = scratch.path('gone.json')
  const source = (role: string) => ({ file: scratch.path(`gone-${role}`), sizeBytes: 4 * MiB })
  const pool = await ThinPool.create({
    name: scratch.name('pool'),
    data: source('data'),
    metadata: source('metadata'),
    record,
  })
  expect(existsSync(record)).toBe(true)
  await pool.remove({ deleteFiles: true })
  expect(existsSync(record)).toBe(false)
})
