// The device mapper without a pool: two stretches joined into one device, looked at, renamed, removed.
import { DeviceMapper } from 'dm-thin/kernel'

const dm = await DeviceMapper.open()
const { features } = await dm.capabilities()
console.log(`interface ${dm.interfaceVersion.join('.')}, events ${features.eventPoll ? 'can be polled' : 'cannot'}`)

const name = `low-level-${process.pid}`
await dm.create({ name })
try {
  await dm.tableLoad(name, [
    { lengthSectors: 2048, type: 'zero', parameters: '' },
    { lengthSectors: 8, type: 'error', parameters: '' },
  ])
  const { path } = await dm.resume(name)
  console.log(`live as ${path.replace(/\d+/, 'N')}`)
  for (const line of await dm.table(name)) console.log(line.startSectors, line.lengthSectors, line.type)
  const listed = await dm.listDevices({ namePrefix: 'low-level-' })
  console.log(`${listed.length} of its kind`)
} finally {
  await dm.remove(name, { timeoutMs: 5_000 })
}
