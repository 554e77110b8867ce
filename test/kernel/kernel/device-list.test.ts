// Scenario                                                  Test
// A machine with very many devices                          1 000 devices are listed completely …; 10 000 in long/large-list.test.ts
// @udev both
import { DeviceMapper } from '../../../lib/entry/kernel.js'
import { nativePort } from '../../../lib/kernel/native-port.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run } from '../../helpers/process/spawned.js'
import { dmInfo } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()
const port = nativePort()
const DEVICES = 1_000

test('1 000 devices are listed completely, and a prefix filter selects exactly its own devices', async () => {
  const dm = await DeviceMapper.open()
  const prefix = scratch.name('many')
  const names = Array.from({ length: DEVICES }, (_, index) => `${prefix}-${String(index).padStart(3, '0')}`)
  await Promise.all(names.map(name => port.create(name, `DMTHINTEST-${name}`)))
  // One of them has had events: with a live table, renaming raises one.
  const lively = names[123]!
  await dm.tableLoad(lively, [{ lengthSectors: 8, type: 'error', parameters: '' }])
  await dm.resume(lively)
  await dm.rename(lively, `${lively}-x`)
  await dm.rename(`${lively}-x`, lively)
  const events = Number(run('dmsetup', ['info', '-c', '--noheadings', '-o', 'events', lively]))

  const listed = await dm.listDevices({ namePrefix: prefix })
  expect(listed.map(each => each.name).sort()).toEqual(names)
  expect(listed.filter(each => each.uuid !== `DMTHINTEST-${each.name}`)).toEqual([])
  expect(listed.filter(each => each.eventNumber !== (each.name === lively ? events : 0))).toEqual([])
  expect(events).toBeGreaterThan(0)
  expect(dmInfo(names[77]!)).toMatchObject({ uuid: `DMTHINTEST-${names[77]!}` })

  const all = await dm.listDevices()
  const byDmsetup = run('dmsetup', ['ls']).trim().split('\n')
  expect(all.map(({ name, device }) => `${name}\t(${device})`).sort()).toEqual(byDmsetup.sort())

  const some = await dm.listDevices({ namePrefix: `${prefix}-12` })
  expect(some.map(each => each.name).sort()).toEqual(names.filter(name => name.startsWith(`${prefix}-12`)))
  const one = await dm.listDevices({ uuidPrefix: `DMTHINTEST-${prefix}-999` })
  expect(one.map(each => each.name)).toEqual([names[999]])

  const gone = await Promise.allSettled(names.map(name => port.remove({ name }, 10_000)))
  expect(gone.filter(each => each.status === 'rejected')).toEqual([])
})
