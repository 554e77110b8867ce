// Options: what a caller may write, and what the compiler refuses. Compiled, never run.
import { LoopDevice, mount, ThinPool, type CreatePoolOptions, type ThinVolume } from '../../lib/entry/index.js'

declare const pool: ThinPool
declare const volume: ThinVolume
declare const signal: AbortSignal

const data = { file: 'data.img', sizeBytes: 2 ** 30 }
const metadata = { device: '/dev/sdb1' }

export const least: CreatePoolOptions = { name: 'demo', data, metadata }
export const all: CreatePoolOptions = {
  name: 'demo',
  data,
  metadata,
  dataBlockBytes: 65536,
  lowWaterMarkBlocks: 100,
  skipBlockZeroing: true,
  ignoreDiscard: true,
  noDiscardPassdown: true,
  readOnly: true,
  errorIfNoSpace: true,
  format: 'overwrite',
  signal,
}

export async function pools(): Promise<void> {
  // @ts-expect-error a misspelled option
  await ThinPool.create({ name: 'demo', data, metadata, lowWatermarkBlocks: 1 })
  // @ts-expect-error a pool has a metadata device
  await ThinPool.create({ name: 'demo', data })
  // @ts-expect-error a pool has a name
  await ThinPool.create({ data, metadata })
  // @ts-expect-error a file or a device, not a plain path
  await ThinPool.create({ name: 'demo', data: 'data.img', metadata })
  // @ts-expect-error a source is a file or a device
  await ThinPool.create({ name: 'demo', data: { path: 'data.img' }, metadata })
  // @ts-expect-error a device has the size that it has
  await ThinPool.create({ name: 'demo', data: { device: '/dev/sda1', sizeBytes: 1 }, metadata })
  // @ts-expect-error only two words for format
  await ThinPool.create({ name: 'demo', data, metadata, format: 'always' })
  // @ts-expect-error sizes are numbers; bigint is for what a number cannot hold
  await ThinPool.create({ name: 'demo', data: { file: 'data.img', sizeBytes: 1n }, metadata })

  await ThinPool.open('demo')
  await ThinPool.open({ name: 'demo', repair: false, mapperLinks: true, signal })
  await ThinPool.open({ name: 'demo', data: { file: 'data.img' }, metadata: { file: 'metadata.img' } })
  // @ts-expect-error open never formats
  await ThinPool.open({ name: 'demo', format: 'overwrite' })

  // @ts-expect-error pools come from create and open
  new ThinPool()
}

export async function volumes(): Promise<void> {
  await pool.createVolume({ sizeBytes: 2 ** 30, id: 7, name: 'seven', signal })
  // @ts-expect-error a volume has a size
  await pool.createVolume({ id: 7 })
  // @ts-expect-error a volume has a size
  await pool.createVolume()
  // @ts-expect-error the unit is in the name
  await pool.createVolume({ size: 2 ** 30 })
  // @ts-expect-error thin ids are numbers
  await pool.volume('7')
  await pool.volume(7, { sizeBytes: 2 ** 30 })

  await volume.activate({ sizeBytes: 2 ** 30, name: 'seven', readOnly: true, signal })
  // @ts-expect-error the word is readOnly
  await volume.activate({ readonly: true })
  await volume.snapshot({ activate: true, name: 'copy', id: 8, readOnly: false, signal })
  // @ts-expect-error the unit is in the name
  await volume.deactivate({ timeout: 5 })

  await pool.snapshotMany(volume, 2, { signal })
  // @ts-expect-error how many
  await pool.snapshotMany(volume)
  await pool.activateMany([volume], { readOnly: true, signal, onProgress: ({ done, total }) => done / total })
  // @ts-expect-error a list, even for one
  await pool.activateMany(volume)
  // @ts-expect-error volumes, not their ids
  await pool.deactivateMany([7])
  await pool.deactivateMany([volume], { timeoutMs: 100 })
  await pool.deleteMany([volume], { signal, onProgress: ({ done, total }) => done / total })
  // @ts-expect-error nothing is waited for
  await pool.deleteMany([volume], { timeoutMs: 100 })
  // @ts-expect-error how long to wait is for taking down
  await pool.activateMany([volume], { timeoutMs: 100 })
  // @ts-expect-error sizes are numbers of bytes
  await pool.grow({ dataBytes: '+10GiB' })
  await pool.createVolume({ sizeBytes: 2 ** 30, externalOrigin: '/dev/sdc' })
  await volume.activate({ externalOrigin: '/dev/sdc' })
  // @ts-expect-error a path, not a volume
  await volume.activate({ externalOrigin: volume })
  await pool.setTransactionId({ currentId: 0n, newId: 1n, signal })
  // @ts-expect-error ids have 64 bits
  await pool.setTransactionId({ currentId: 0, newId: 1 })
  // @ts-expect-error both must be said
  await pool.setTransactionId({ newId: 1n })
  await pool.remove({ deactivate: true, deleteFiles: true, timeoutMs: 1000, signal })
}

export async function devices(): Promise<void> {
  await LoopDevice.attach({
    file: 'data.img',
    readOnly: true,
    directIo: true,
    autoclear: true,
    offsetBytes: 512,
    signal,
  })
  // @ts-expect-error a loop device is of a file
  await LoopDevice.attach({ readOnly: true })
  // @ts-expect-error loop devices come from attach and list
  new LoopDevice()
  await mount({ source: volume.path, target: '/mnt', type: 'ext4', noAtime: true })
  // @ts-expect-error the kernel must be told the file system
  await mount({ source: volume.path, target: '/mnt' })
}

/** Every call that can wait takes a signal, and only a real one. */
export async function signals(): Promise<void> {
  const timeout = { signal: AbortSignal.timeout(5_000) }
  await ThinPool.open({ name: 'demo', ...timeout })
  await Promise.all([pool.status(timeout), pool.volumes(timeout), pool.usage(timeout), pool.grow(timeout)])
  await Promise.all([volume.status(timeout), volume.refresh(timeout), volume.delete(timeout), volume.destroy(timeout)])
  const [loop] = await LoopDevice.list(timeout)
  await Promise.all([loop?.resize(timeout), loop?.refresh(timeout), loop?.detach(timeout)])
  // @ts-expect-error the controller is not its signal
  await pool.status({ signal: new AbortController() })
}
