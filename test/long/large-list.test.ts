// Scenario                                                  Test
// a list of 10 000 devices (DM_BUFFER_FULL)                 10 000 devices are listed completely …
import { DeviceMapper } from '../../lib/entry/kernel.js'
import { watchDevices } from '../../lib/entry/index.js'
import { MARK } from '../helpers/kernel/kernel-state.js'
import { range } from '../helpers/long/report.js'
import { useScratch } from '../helpers/kernel/scratch.js'
import { run } from '../helpers/process/spawned.js'

const scratch = useScratch()
const COUNT = 10_000

test('10 000 devices are listed completely, with uuids and by prefix, and reported as they are added and removed', async () => {
  const dm = await DeviceMapper.open()
  const prefix = scratch.name('many')
  const names = range(COUNT).map(at => `${prefix}-${at}-`.padEnd(100, 'x'))
  const uuidOf = (name: string) => `uuid-${name}`
  await Promise.all(names.map(name => dm.create({ name, uuid: uuidOf(name) })))

  const listed = await dm.listDevices({ namePrefix: MARK })
  expect(listed).toHaveLength(COUNT)
  expect(listed.map(({ name }) => name).sort()).toEqual([...names].sort())
  expect(listed.filter(({ name, uuid }) => uuid !== uuidOf(name))).toEqual([])
  expect(new Set(listed.map(({ device }) => device)).size).toBe(COUNT)
  const theirs = run('dmsetup', ['info', '-c', '--noheadings', '-o', 'name']).trim().split('\n')
  expect(theirs.filter(name => name.startsWith(MARK)).sort()).toEqual([...names].sort())
  expect(await dm.listDevices({ namePrefix: `${prefix}-777` })).toHaveLength(11) // 777 and 7770 to 7779
  expect(await dm.listDevices({ uuidPrefix: uuidOf(names[4321]!) })).toMatchObject([{ name: names[4321] }])

  const watch = watchDevices({ namePrefix: MARK })
  await watch.ready
  const gone = new Set<string>()
  watch.on('change', ({ type, name }) => {
    if (type === 'removed') gone.add(name)
  })
  await Promise.all(names.map(name => dm.remove(name, { timeoutMs: 30_000 })))
  while (gone.size < COUNT) await new Promise(resolve => setTimeout(resolve, 20))
  watch.close()
  expect(await dm.listDevices({ namePrefix: MARK })).toEqual([])
})
