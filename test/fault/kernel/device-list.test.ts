// Answers larger than the first buffer: real ones, of hundreds of devices and of a table with many lines.
import { nativePort } from '../../../lib/kernel/native-port.js'
import { TABLE_FLAG } from '../../../lib/kernel/port/device-port.js'
import { MARK } from '../../helpers/kernel/kernel-state.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run } from '../../helpers/process/spawned.js'

const scratch = useScratch()
const DEVICES = 300
const NAME_BYTES = 127

test('300 devices with the longest names are all listed with their uuids', async () => {
  const port = nativePort()
  const prefix = scratch.name('list')
  const names = Array.from({ length: DEVICES }, (_, index) => `${prefix}-${index}-`.padEnd(NAME_BYTES, 'x'))
  await Promise.all(names.map((name, index) => port.create(name, `DMTHINTEST-${prefix}-${index}`)))
  const listed = await port.listDevices({})
  const ours = listed.filter(device => device.name.startsWith(MARK))
  expect(ours.map(device => device.name).sort()).toEqual([...names].sort())
  expect(new Set(ours.map(device => device.uuid)).size).toBe(DEVICES)
  const byPrefix = await port.listDevices({ uuid: `DMTHINTEST-${prefix}-29` })
  expect(byPrefix).toHaveLength(11) // 29 and 290 to 299
  await Promise.all(names.map(name => port.remove({ name }, 10_000)))
})

test('a table of 1200 lines is read completely', async () => {
  const port = nativePort()
  const name = scratch.name('table')
  const lines = Array.from({ length: 1200 }, (_, index) => {
    return { startSectors: index * 8, lengthSectors: 8, type: index % 2 === 0 ? 'error' : 'zero', parameters: '' }
  })
  await port.activate({ name, uuid: `DMTHINTEST-${name}`, table: lines })
  const read = await port.tableStatus({ name }, TABLE_FLAG.table | TABLE_FLAG.noflush)
  expect(read.map(({ startSectors, type }) => [startSectors, type])).toEqual(
    lines.map(({ startSectors, type }) => [startSectors, type]),
  )
  expect(run('dmsetup', ['table', name]).trim().split('\n')).toHaveLength(1200)
  await port.remove({ name }, 10_000)
})
