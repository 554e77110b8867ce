// A pool and its volumes after a restart of the machine: one call, and the systemd unit in the docs.
// @udev both
import { MiB, ThinPool } from '../../../lib/entry/index.js'
import { BLOCK, seedOf, writeBlock } from '../../helpers/kernel/blocks.js'
import { dmTable } from '../../helpers/kernel/dmsetup.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { MAIN } from '../../helpers/process/command-line.js'
import { run } from '../../helpers/process/spawned.js'
import { Systemd, unitOf, writeUnits } from '../../helpers/process/systemd.js'

const scratch = useScratch()

/** Makes a pool with a named volume, a snapshot that has a device, and one that never had; and stops it as a restart does. */
async function stoppedPool() {
  const name = scratch.name('restart')
  const file = (part: string) => scratch.path(`${name}.${part}`)
  const sources = { data: { file: file('data') }, metadata: { file: file('metadata') } }
  const pool = await ThinPool.create({
    name,
    data: { ...sources.data, sizeBytes: 16 * MiB },
    metadata: { ...sources.metadata, sizeBytes: 4 * MiB },
    record: file('record'),
  })
  const volume = await pool.createVolume({ sizeBytes: 2 * MiB, name: `${name}-disk` })
  await volume.activate()
  await writeBlock(volume.path, 1, 7)
  const snapshot = await volume.snapshot({ activate: true })
  await writeBlock(volume.path, 1, 8)
  const idle = await volume.snapshot()
  await pool.remove({ deactivate: true })
  return {
    options: { name, ...sources, record: file('record') },
    ids: [volume.id, snapshot.id, idle.id],
    volume,
    snapshot,
  }
}

const nodeOf = (name: string): string =>
  `/dev/dm-${run('dmsetup', ['info', '-c', '--noheadings', '-o', 'minor', name]).trim()}`

test('one call activates the volumes of the record, with their names, sizes and contents', async () => {
  const { options, ids, volume, snapshot } = await stoppedPool()
  const pool = await ThinPool.open({ ...options, activate: 'recorded' })
  expect(pool.findings).toEqual([])
  expect((await pool.volumes()).map(({ id, active }) => [id, active])).toEqual(ids.map(id => [id, true]))
  expect(dmTable(volume.name)).toBe(`0 4096 thin ${dmTable(volume.name).split(' ')[3]} ${volume.id}`)
  expect(await seedOf(nodeOf(volume.name), 1, [7, 8])).toBe(8)
  expect(await seedOf(nodeOf(snapshot.name), 1, [7, 8])).toBe(7)
  // Of a running pool, it activates those that are missing, and leaves the others as they are.
  await (await pool.volume(snapshot.id)).deactivate()
  const again = await ThinPool.open({ ...options, activate: 'recorded' })
  expect((await again.volumes()).every(({ active }) => active)).toBe(true)
  await pool.remove({ deactivate: true, deleteFiles: true })
})

test('a list of ids activates those alone, and a volume that cannot be activated is a finding', async () => {
  const { options, ids, volume } = await stoppedPool()
  run('dmsetup', ['create', volume.name, '--table', '0 8 zero'])
  const pool = await ThinPool.open({ ...options, activate: ids.slice(0, 2) })
  run('dmsetup', ['remove', volume.name])
  expect(pool.findings).toMatchObject([
    { kind: 'volume-inactive', device: volume.name, detail: String(volume.id), error: { code: 'DM_NAME_TAKEN' } },
  ])
  expect((await pool.volumes()).map(({ active }) => active)).toEqual([false, true, false])
  await pool.remove({ deactivate: true, deleteFiles: true })
})

test.each([
  ['without a record', { record: undefined }, /requires record/],
  ['with a word', { activate: 'all' }, /'recorded' or a list/],
  ['with an id that is too large', { activate: [2 ** 24] }, /16777215/],
])('the option activate %s is rejected, and no pool is started', async (_, change, text) => {
  const { options } = await stoppedPool()
  const call = ThinPool.open({ ...options, activate: 'recorded', ...change } as never)
  await expect(call).rejects.toMatchObject({
    code: 'DM_INVALID_ARGUMENT',
    message: expect.stringMatching(text) as string,
  })
  expect(run('dmsetup', ['ls'])).not.toContain(options.name)
})

test('the systemd unit in the docs starts the pool with its volumes at each boot, and stops it at power-off', async () => {
  const { options, volume, snapshot } = await stoppedPool()
  const unit = unitOf('pools.md', 'dm-thin-tank.service', {
    '/usr/bin/node': process.execPath,
    '/opt/dm-thin/node_modules/dm-thin/dist/cli/main.js': MAIN,
    ' tank ': ` ${options.name} `,
    '/dev/vg/thin-data': options.data.file,
    '/dev/vg/thin-metadata': options.metadata.file,
    '/var/lib/dm-thin/tank.json': options.record,
  })
  const folder = writeUnits(scratch.path('units'), { 'dm-thin-tank.service': unit })
  const devices = () =>
    run('dmsetup', ['ls', '--target', 'thin'])
      .split('\n')
      .map(line => line.split('\t')[0])
  await using first = await Systemd.boot(folder, 'local-fs.target')
  expect(devices()).not.toContain(volume.name)
  await first.enable('dm-thin-tank.service')
  expect(devices()).toEqual(expect.arrayContaining([volume.name, snapshot.name]))
  expect(await seedOf(nodeOf(volume.name), 1, [7, 8])).toBe(8)
  await first.powerOff()
  expect(run('dmsetup', ['ls'])).not.toContain(options.name)

  await using second = await Systemd.boot(folder, 'local-fs.target')
  expect(second.systemctl('is-active', 'dm-thin-tank.service')).toBe('active')
  expect(devices()).toEqual(expect.arrayContaining([volume.name, snapshot.name]))
  await second.powerOff()
  expect(run('dmsetup', ['ls'])).not.toContain(options.name)
  expect(BLOCK).toBe(65_536)
})
