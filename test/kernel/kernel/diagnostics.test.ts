// Every call can be seen, the trace is dmsetup's, and a key is in neither.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { MiB } from '../../../lib/entry/index.js'
import { DeviceMapper, type CallMessage } from '../../../lib/entry/kernel.js'
import { toDmsetupCommand } from '../../../lib/kernel/trace/dmsetup-command.js'
import { withPool } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run, tryRun } from '../../helpers/process/spawned.js'
import { dmInfo, dmTable } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()

async function heard(body: () => Promise<unknown>): Promise<CallMessage[]> {
  const messages: CallMessage[] = []
  const listener = (message: unknown) => void messages.push(message as CallMessage)
  subscribe('tracing:dm-thin:call:asyncEnd', listener)
  try {
    await body().catch(() => {})
  } finally {
    unsubscribe('tracing:dm-thin:call:asyncEnd', listener)
  }
  return messages
}

test('the trace contains each call with its end, its duration and its errno, also compound calls', async () => {
  await withPool(async (pool, { name }) => {
    const messages = await heard(async () => {
      const volume = await pool.createVolume({ sizeBytes: MiB, id: 7 })
      await volume.activate()
      await volume.snapshot({ id: 8 })
      await volume.deactivate()
      await pool.createVolume({ sizeBytes: MiB, id: 7 })
    })
    scratch.log.allow(/thin: Creation of .* failed/)
    expect(messages.map(({ call, errno }) => [call, errno])).toEqual([
      ['createThin', 0],
      ['activate', 0],
      ['readBlocks', 0], // the snapshot clock, before the first snapshot
      ['snapshot', 0],
      ['deactivate', 0],
      ['createThin', 17],
    ])
    for (const each of messages)
      expect(each).toMatchObject({ durationMs: expect.any(Number) as number, started: expect.any(Number) as number })
    expect(toDmsetupCommand(messages[0]!.call, messages[0]!.args)).toBe(`dmsetup message ${name} 0 'create_thin 7'`)
    expect(messages.at(-1)!.error).toMatchObject({ code: 'DM_VOLUME_EXISTS' })
  })
})

test('the commands of the trace have the same effect when they are typed', async () => {
  // udev looks at what dmsetup makes, and half of it answers with errors.
  scratch.log.allow(/Buffer I\/O error on dev dm-/)
  const dm = await DeviceMapper.open()
  const name = scratch.name('typed')
  const next = scratch.name('next')
  const table = [
    { lengthSectors: 8, type: 'zero', parameters: '' },
    { lengthSectors: 8, type: 'error', parameters: '' },
  ]
  const messages = await heard(async () => {
    await dm.create({ name, uuid: `${name}-uuid` })
    await dm.tableLoad(name, table)
    await dm.resume({ uuid: `${name}-uuid` })
    await dm.suspend(name, { noflush: true, skipLockfs: true })
    await dm.resume(name)
    await dm.status(name)
    await dm.table(name)
    await dm.tableStatus(name)
    await dm.tableDeps(name)
    await dm.message(name, '@stats_list')
    await dm.setGeometry(name, { cylinders: 1, heads: 1, sectors: 16, startSector: 0 })
    await dm.targetVersion('zero')
    await dm.listDevices()
    await dm.listVersions()
    await dm.version()
    await dm.rename(name, next)
    // Not before the renaming: see "Faults of kernels" in docs/kernel-versions.md.
    await dm.tableLoad(next, table.slice(1))
    await dm.tableClear(next)
  })
  expect(dmTable(next)).toBe('0 8 zero \n8 8 error')
  await dm.remove(next, { timeoutMs: 5_000 })
  expect(messages).toHaveLength(18)
  for (const { call, args } of messages) {
    const words = toDmsetupCommand(call, args)!
    const ran = tryRun('sh', ['-c', words.replace(/^dmsetup (create|resume|rename)/, 'dmsetup $1 --noudevsync')])
    expect({ words, status: ran.status, stderr: ran.stderr }).toMatchObject({ words, status: 0 })
  }
  expect(dmTable(next)).toBe('0 8 zero \n8 8 error')
  expect(dmInfo(next)).toMatchObject({ uuid: `${name}-uuid` })
  run('dmsetup', ['remove', '--noudevsync', '--retry', next])
})

test('the trace of a table with secure data does not contain its parameters', async () => {
  const dm = await DeviceMapper.open()
  const name = scratch.name('secret')
  await dm.create({ name })
  const segments = [{ lengthSectors: 8, type: 'error', parameters: 'very-secret' }]
  const told = await heard(() => dm.tableLoad(name, segments, { secureData: true }))
  scratch.log.allow(/device-mapper: /)
  const said = await heard(() => dm.message(name, 'key set very-secret', { secureData: true }))
  expect(told).toHaveLength(1)
  expect(JSON.stringify(told[0]!.args) + JSON.stringify(said[0]!.args)).not.toContain('very-secret')
  await dm.remove(name)
})

test('DEBUG=dm-thin prints a line for each call', () => {
  const program = `require(${JSON.stringify(require.resolve('../../../dist/entry/kernel.js'))}).DeviceMapper.open()`
  const { stderr } = tryRun('env', ['DEBUG=other,dm-thin', process.execPath, '-e', program])
  expect(stderr).toMatch(/^dm-thin +[\d.]+ ms {2}dmsetup version {2}ok\n$/)
  expect(tryRun('env', ['DEBUG=other', process.execPath, '-e', program]).stderr).toBe('')
})
