// A pool is its uuid, a file its device and inode: what was replaced is not touched, nor what another made.
import { memoryKernel, type MemoryKernel } from '../../../lib/entry/testing.js'
import { LoopDevice, MiB, ThinPool, type ThinVolume } from '../../../lib/entry/index.js'
import { portInside } from '../../../lib/kernel/kernel-option.js'
import { DEVICE_FLAG } from '../../../lib/kernel/port/device-port.js'
import { processOn } from '../../helpers/process/processes.js'

interface Replaced {
  readonly kernel: MemoryKernel
  /** Of the pool that is gone. */
  readonly pool: ThinPool
  readonly volume: ThinVolume
}

/** Each call on a pool and a volume of it. `listed`: what a call for many says of each volume is looked at. */
const CALLS: Record<string, (replaced: Replaced) => Promise<unknown>> = {
  status: ({ pool }) => pool.status(),
  createVolume: ({ pool }) => pool.createVolume({ sizeBytes: MiB }),
  'createVolume with an id': ({ pool }) => pool.createVolume({ sizeBytes: MiB, id: 9 }),
  volume: ({ pool }) => pool.volume(0),
  volumes: ({ pool }) => pool.volumes(),
  usage: ({ pool }) => pool.usage(),
  grow: ({ pool }) => pool.grow({ dataBytes: 128 * MiB }),
  setTransactionId: ({ pool }) => pool.setTransactionId({ currentId: 0n, newId: 1n }),
  reserveMetadataSnapshot: ({ pool }) => pool.reserveMetadataSnapshot(),
  releaseMetadataSnapshot: ({ pool }) => pool.releaseMetadataSnapshot(),
  remove: ({ pool }) => pool.remove({ deactivate: true, deleteFiles: true }),
  snapshotMany: ({ pool, volume }) => pool.snapshotMany(volume, 2),
  activateMany: ({ pool, volume }) => pool.activateMany([volume]).then(firstOf),
  deleteMany: ({ pool, volume }) => pool.deleteMany([volume]).then(firstOf),
  'volume.activate': ({ volume }) => volume.activate(),
  'volume.snapshot': ({ volume }) => volume.snapshot(),
  'volume.delete': ({ volume }) => volume.delete(),
}

function firstOf([result]: readonly { status: string; reason?: unknown }[]): void {
  if (result?.status === 'rejected') throw result.reason
}

/** Another process removes the pool and makes another of the same name, on the same device number. */
async function replaced(): Promise<Replaced> {
  const kernel = memoryKernel()
  const options = kernel.poolOptions('images')
  const pool = await ThinPool.create(options)
  const volume = await pool.createVolume({ sizeBytes: MiB })
  const other = { ...options, kernel: processOn(kernel) }
  await (await ThinPool.open(other)).remove({ deleteFiles: true })
  const second = await ThinPool.create(other)
  await (await second.createVolume({ sizeBytes: MiB })).activate()
  return { kernel, pool, volume }
}

async function stateOf(kernel: MemoryKernel) {
  const pool = await ThinPool.open({ name: 'images', kernel: processOn(kernel) })
  const volumes = (await pool.volumes()).map(({ id, active }) => ({ id, active }))
  return { left: kernel.left(), volumes, status: await pool.status() }
}

test.each(Object.entries(CALLS))('%s on a pool that was replaced rejects with DM_NOT_FOUND', async (_, call) => {
  const made = await replaced()
  const before = await stateOf(made.kernel)
  await expect(call(made)).rejects.toMatchObject({ code: 'DM_NOT_FOUND' })
  expect(await stateOf(made.kernel)).toEqual(before)
})

test('deactivate, deactivateMany and refresh of a volume of a replaced pool leave the other pool’s volume active', async () => {
  const { kernel, pool, volume } = await replaced()
  await volume.deactivate()
  await pool.deactivateMany([volume])
  expect(await volume.refresh()).toBe(false)
  expect(await pool.statusMany([volume])).toMatchObject([{ status: 'rejected', reason: { code: 'DM_NOT_ACTIVE' } }])
  expect((await stateOf(kernel)).volumes).toEqual([{ id: 0, active: true }])
})

test.each(['readBlocks', 'blockSizeBytes', 'none'])(
  'volumes() of a pool that is replaced before %s rejects with DM_NOT_FOUND, and returns no volume of the other',
  async step => {
    const kernel = memoryKernel()
    const options = kernel.poolOptions('images')
    const [process, other] = [processOn(kernel), processOn(kernel)]
    const pool = await ThinPool.create({ ...options, kernel: process })
    await pool.createVolume({ sizeBytes: MiB })
    const held = process.holdAt(step)
    const volumes = pool.volumes()
    volumes.catch(() => {})
    if (step !== 'none') expect(await held.reached).toBe(step)
    else await volumes
    await (await ThinPool.open({ name: 'images', kernel: other })).remove({ deleteFiles: true })
    const second = await ThinPool.create({ ...options, kernel: other })
    await second.createVolume({ sizeBytes: MiB, id: 7 })
    held.go()
    if (step === 'none') expect((await volumes).map(({ id }) => id)).toEqual([0])
    else await expect(volumes).rejects.toMatchObject({ code: 'DM_NOT_FOUND' })
  },
)

test.each(['tableLoad', 'resume'])(
  'grow of a volume that another program removes before %s rejects with DM_NOT_FOUND',
  async step => {
    const kernel = memoryKernel()
    const process = processOn(kernel)
    const pool = await ThinPool.create({ ...kernel.poolOptions('images'), kernel: process })
    const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    const held = process.holdAt(step)
    const grown = volume.grow({ sizeBytes: 2 * MiB })
    grown.catch(() => {})
    await held.reached
    await portInside(kernel).remove({ name: volume.name }, 0)
    held.go()
    await expect(grown).rejects.toMatchObject({ code: 'DM_NOT_FOUND' })
  },
)

test('the error of a replaced pool contains its name and not its uuid', async () => {
  const { pool } = await replaced()
  await expect(pool.status()).rejects.toThrow(
    expect.objectContaining({ device: 'images', message: expect.stringContaining('"images"') as string }) as Error,
  )
})

test('a pool that another program renamed is found by its uuid', async () => {
  const kernel = memoryKernel()
  const pool = await ThinPool.create(kernel.poolOptions('images'))
  await processOn(kernel).port.rename('images', 'renamed')
  const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
  await volume.snapshot()
  await volume.deactivate()
  await pool.remove({ deleteFiles: true })
  expect(kernel.left()).toEqual({ devices: [], loops: [], files: [], mounts: [] })
})

describe('ThinPool.open', () => {
  async function withSuspended(uuid: (own: string) => string) {
    const kernel = memoryKernel()
    const { port } = processOn(kernel)
    const pool = await ThinPool.create(kernel.poolOptions('images'))
    const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    const own = (await port.deviceStatus({ name: volume.name })).uuid
    const table = await port.tableStatus({ name: volume.name }, 0x810)
    await volume.deactivate()
    await port.activate({ name: 'theirs', uuid: uuid(own), table })
    await port.suspend({ name: 'theirs' }, 0)
    const again = await ThinPool.open({ name: 'images', kernel: processOn(kernel) })
    const { flags } = await port.deviceStatus({ name: 'theirs' })
    return { findings: again.findings, suspended: (flags & DEVICE_FLAG.suspended) !== 0 }
  }

  test.each(['LVM-abc', ''])('only reports a suspended volume with the uuid "%s" of another program', async uuid => {
    expect(await withSuspended(() => uuid)).toEqual({
      findings: [{ kind: 'suspended-volume', device: 'theirs', action: 'none' }],
      suspended: true,
    })
  })

  test.each<[string, (own: string) => string]>([
    ['a uuid of this library', own => own],
    ['the uuid of a device of a spare', own => own.replace(/0$/, 'spare-7')],
    ['a uuid that begins as those of this library and has no id', own => own.replace(/0$/, 'x')],
  ])('resumes a suspended volume with %s and any name', async (_, uuid) => {
    expect(await withSuspended(uuid)).toEqual({
      findings: [{ kind: 'suspended-volume', device: 'theirs', action: 'resumed' }],
      suspended: false,
    })
  })
})

describe('ThinPool.remove', () => {
  test('leaves loop devices that the caller attached, and their files', async () => {
    const kernel = memoryKernel()
    kernel.addFile('/data.img', 64 * MiB)
    kernel.addFile('/metadata.img', 4 * MiB)
    const [data, metadata] = [
      await LoopDevice.attach({ file: '/data.img', kernel }),
      await LoopDevice.attach({ file: '/metadata.img', kernel, autoclear: true }),
    ]
    const sources = { data: { device: data.path }, metadata: { device: metadata.path } }
    const pool = await ThinPool.create({ kernel, name: 'images', ...sources })
    expect(await pool.remove({ deleteFiles: true })).toMatchObject({ loops: [], files: [] })
    expect(kernel.left()).toMatchObject({ loops: [data.path, metadata.path], files: ['/data.img', '/metadata.img'] })
  })

  test('does not delete another file that has replaced the recorded one', async () => {
    const kernel = memoryKernel()
    const pool = await ThinPool.create(kernel.poolOptions('images'))
    await processOn(kernel).port.deleteFile('/memory/images-data.img')
    kernel.addFile('/memory/images-data.img', MiB)
    expect(await pool.remove({ deleteFiles: true })).toMatchObject({ files: ['/memory/images-metadata.img'] })
    expect(kernel.left().files).toEqual(['/memory/images-data.img'])
  })

  test('does not deactivate another device that has taken the name of a volume', async () => {
    const kernel = memoryKernel()
    const ours = processOn(kernel)
    const { port } = processOn(kernel)
    const pool = await ThinPool.create({ ...kernel.poolOptions('images'), kernel: ours })
    const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    const held = ours.holdAt('deactivate')
    const removing = pool.remove({ deactivate: true, deleteFiles: true })
    await held.reached
    await port.rename(volume.name, 'moved')
    await port.create(volume.name, '')
    held.go()
    expect(await removing).toMatchObject({ pool: 'images' })
    expect(kernel.left().devices).toEqual([volume.name])
  })
})

test('the rollback of ThinPool.create ends at the first step that fails, and lists the others as not done', async () => {
  const kernel = memoryKernel()
  kernel.fail('DM_TABLE_STATUS', 'EIO')
  kernel.fail('DM_DEV_REMOVE', 'EIO')
  const fault: unknown = await ThinPool.create(kernel.poolOptions('images')).catch((reason: unknown) => reason)
  const ECANCELED = 125
  expect(fault).toMatchObject({
    rollback: [
      { operation: 'DM_DEV_REMOVE', errno: 5 },
      { operation: 'LOOP_CLR_FD', errno: ECANCELED },
      { operation: 'LOOP_CLR_FD', errno: ECANCELED },
      { operation: 'unlink', errno: ECANCELED },
      { operation: 'unlink', errno: ECANCELED },
    ],
  })
  expect(kernel.left()).toMatchObject({ devices: ['images'], loops: ['/dev/loop0', '/dev/loop1'] })
  expect(kernel.left().files).toHaveLength(2)
})
