// The device of a volume of another program, while other processes take it up and let it go: the order is forced.
import { memoryKernel, type MemoryKernel } from '../../../../lib/entry/testing.js'
import { MiB, ThinPool } from '../../../../lib/entry/index.js'
import { Devices } from '../../../../lib/store/foreign/devices.js'
import type { ForeignRecord } from '../../../../lib/store/foreign/foreign-record.js'
import { processOn, type Process } from '../../../helpers/process/processes.js'

const NAME = 'images'
const RECORD: ForeignRecord = { key: 'a', parent: '', kind: 'committed', thin: 0, sizeBytes: MiB, isWhole: true }

interface Scene {
  readonly kernel: MemoryKernel
  readonly reader: Process
  readonly devices: Devices
  readonly otherPool: ThinPool
}

async function scene(): Promise<Scene> {
  const kernel = memoryKernel()
  const otherPool = await ThinPool.create(kernel.poolOptions(NAME))
  await otherPool.createVolume({ id: RECORD.thin, sizeBytes: MiB })
  const reader = processOn(kernel)
  const pool = await ThinPool.open({ name: NAME, kernel: reader })
  const open = async (path: string) => {
    const release = kernel.hold(path)
    return { close: async () => release() }
  }
  return { kernel, reader, devices: new Devices(pool, open), otherPool }
}

test('a volume is activated again if the device of another process is removed before its owner is known', async () => {
  const { kernel, reader, devices, otherPool } = await scene()
  const activating = reader.holdAt('activate')
  const read = devices.with(RECORD, async path => path)
  await activating.reached
  const other = await (await otherPool.volume(RECORD.thin, { sizeBytes: MiB })).activate()
  activating.go()
  const asking = reader.holdAt('deviceStatus') // after the refusal, for the volume's own uuid
  await asking.reached
  await other.deactivate()
  asking.go()
  await expect(read).resolves.toMatch(/^\/dev\/dm-\d+$/)
  expect(reader.calls.filter(name => name === 'activate')).toHaveLength(2)
  expect(kernel.left().devices).toEqual([NAME])
})

test('a device that another process made is used for reading, and kept if that process has it open', async () => {
  const { kernel, reader, devices, otherPool } = await scene()
  const activating = reader.holdAt('activate')
  const read = devices.with(RECORD, async path => path)
  await activating.reached
  const other = await (await otherPool.volume(RECORD.thin, { sizeBytes: MiB })).activate()
  const close = kernel.hold(other.path)
  activating.go()
  await expect(read).resolves.toBe(other.path)
  expect(reader.calls.filter(name => name === 'activate')).toHaveLength(1)
  expect(kernel.left().devices).toEqual([NAME, other.name])
  close()
})

test('a device of another program with the same name is kept, and the call rejects with DM_NAME_TAKEN', async () => {
  const { kernel, devices } = await scene()
  await processOn(kernel).port.create(`${NAME}-${RECORD.thin}`, 'another program')
  await expect(devices.with(RECORD, async () => {})).rejects.toMatchObject({ code: 'DM_NAME_TAKEN' })
})
