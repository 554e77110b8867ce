// Scenario                                                  Test
// two processes on one store (missing everywhere)           all of this file
// M  loop devices outlive nobody: autoclear                 a pool of a process that has ended keeps …
// D  adoption; C restart                                    a pool of a process that has ended keeps …
// C  ids never given twice                                  two processes create volumes and snapshots …
// guard across processes                                    guard.test.ts
// @two-processors
import { MiB, ThinPool, volumesOf } from '../../lib/entry/index.js'
import { seedOf, writeBlock } from '../helpers/kernel/blocks.js'
import { runChild, startChild } from '../helpers/process/children.js'
import { expectCode } from '../helpers/errors/expect-code.js'
import { markedDevices, markedLoops, snapshotKernelState } from '../helpers/kernel/kernel-state.js'
import { withPool } from '../helpers/pool/pools.js'
import { useScratch } from '../helpers/kernel/scratch.js'
import { dmInfo, thinCheck } from '../helpers/kernel/dmsetup.js'

const scratch = useScratch()
const text = JSON.stringify

test('a pool of a process that has ended keeps running with its loop devices, and another process opens and removes it', async () => {
  const options = {
    name: scratch.name('pool'),
    data: { file: scratch.path('data'), sizeBytes: 16 * MiB },
    metadata: { file: scratch.path('metadata'), sizeBytes: 4 * MiB },
  }
  const made = await runChild(`
    const pool = await dmThin.ThinPool.create(${text(options)})
    const volume = await (await pool.createVolume({ sizeBytes: ${MiB} })).activate()
    return volume.path`)
  expect(markedLoops()).toMatchObject([{ autoclear: true }, { autoclear: true }])
  const pool = await ThinPool.open(options.name)
  expect(pool.findings).toEqual([])
  const volume = await pool.volume(0)
  expect(made).toEqual({ value: volume.path })
  await writeBlock(volume.path, 3, 1)
  expect(await seedOf(volume.path, 3, [1])).toBe(1)
  await pool.remove({ deactivate: true })
  expect(await snapshotKernelState()).toBe('')
  thinCheck(options.metadata.file)
})

test('two processes create volumes and snapshots of one origin concurrently without a duplicate or lost id', async () => {
  scratch.log.allow(/thin: Creation of .* failed/)
  await withPool({ metadataBytes: 16 * MiB }, async (pool, { name }) => {
    const origin = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    await writeBlock(origin.path, 0, 1)
    const child = startChild(`
      const pool = await dmThin.ThinPool.open(${text(name)})
      const origin = await pool.volume(0)
      await pool.createVolume({ sizeBytes: ${MiB} })
      console.log('ready')
      await new Promise(resolve => process.stdin.once('data', resolve))
      process.stdin.destroy()
      const made = []
      for (let round = 0; round < 15; round++) made.push((await origin.snapshot()).id)
      for (const volume of dmThin.volumesOf(await pool.snapshotMany(origin, 15))) made.push(volume.id)
      return made`)
    await child.saw('ready')
    child.process.stdin!.write('go\n')
    const ours: number[] = []
    for (let round = 0; round < 15; round++) ours.push((await origin.snapshot()).id)
    for (const volume of volumesOf(await pool.snapshotMany(origin, 15))) ours.push(volume.id)
    const { value: theirs } = (await child.result) as { value: number[] }
    expect(new Set([...ours, ...theirs]).size).toBe(60)
    expect(await pool.volumes()).toHaveLength(62)
    expect(dmInfo(origin.name)).toMatchObject({ suspended: false })
    await writeBlock(origin.path, 0, 2)
  })
})

test('two processes that create the same pool: one succeeds, the other rejects, and nothing is left behind', async () => {
  const name = scratch.name('pool')
  const create = (label: string) => {
    const source = (role: string) => ({ file: scratch.path(`${role}-${label}`), sizeBytes: 16 * MiB })
    return `await dmThin.ThinPool.create(${text({ name, data: source('data'), metadata: source('metadata') })})`
  }
  const outcomes = await Promise.all([runChild(create('one')), runChild(create('two'))])
  const refusals = outcomes.filter(outcome => 'error' in (outcome as object))
  expect(refusals).toMatchObject([{ error: { code: 'DM_NAME_TAKEN' } }])
  expect(markedDevices()).toHaveLength(1)
  expect(markedLoops()).toHaveLength(2)
  await (await ThinPool.open(name)).remove({ deleteFiles: true })

  const same = await Promise.all([runChild(create('same')), runChild(create('same'))])
  const codes = same.map(outcome => (outcome as { error?: { code: string } }).error?.code)
  expect(codes.filter(code => code === undefined)).toHaveLength(1)
  expect(codes.filter(code => code !== undefined)[0]).toMatch(/^DM_(NAME_TAKEN|FILE_ATTACHED)$/)
  await (await ThinPool.open(name)).remove({ deleteFiles: true })
})

test('changes of another process are visible: created, activated and deleted volumes, and the removed pool', async () => {
  await withPool(async (pool, { name }) => {
    const child = (body: string) =>
      runChild(`const pool = await dmThin.ThinPool.open(${text(name)}); ${body}`) as Promise<{ value: unknown }>
    const { value: path } = await child(
      `return (await (await pool.createVolume({ sizeBytes: ${MiB}, id: 7 })).activate()).path`,
    )
    const volume = (await pool.volumes())[0]!
    expect(volume).toMatchObject({ id: 7, active: true, path, sizeBytes: MiB })
    await child('await (await pool.volume(7)).destroy()')
    await expectCode(volume.status(), 'DM_NOT_ACTIVE')
    await expectCode(pool.volume(7), 'DM_VOLUME_NOT_FOUND')
    await child('await pool.remove()')
    await expectCode(pool.status(), 'DM_NOT_FOUND')
    expect(await snapshotKernelState()).toBe('')
  })
})
