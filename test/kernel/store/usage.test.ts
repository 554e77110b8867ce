// The usage of layers whose volumes are inactive, as after a restart: it is what they had while they were active and what
// thin_ls counts, and no device is made for it.
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { MiB } from '../../../lib/entry/index.js'
import { LayerStore } from '../../../lib/entry/store.js'
import { dmCreate, dmInfo, dmRemove, dmStatus, dmTable } from '../../helpers/kernel/dmsetup.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { thinLs } from '../../helpers/metadata/image.js'
import { run } from '../../helpers/process/spawned.js'
import { endStore, storeFiles } from '../../helpers/store/stores.js'

const scratch = useScratch()

const SECTOR_BYTES = 512
/** The layers that are not committed. */
const KEYS = ['top', 'view', 'raw'] as const

async function usages(store: LayerStore): Promise<number[]> {
  const bytes: number[] = []
  for (const key of ['layer', ...KEYS]) bytes.push((await store.usage(key)).bytes)
  return bytes
}

/** The number of a new block device: the kernel counts all that it has made. */
function sequenceNumber(): number {
  const name = scratch.name('sequence')
  dmCreate(name, '0 8 zero')
  try {
    return Number(readFileSync(`/sys/dev/block/${dmInfo(name)!.number}/diskseq`, 'utf8'))
  } finally {
    dmRemove(name)
  }
}

/** Runs `body` and expects that no block device is made, not even for a moment. */
async function withoutNewDevice<T>(body: () => Promise<T>): Promise<T> {
  const devices = run('dmsetup', ['ls'])
  const before = sequenceNumber()
  const result = await body()
  expect(sequenceNumber()).toBe(before + 1)
  expect(run('dmsetup', ['ls'])).toBe(devices)
  return result
}

/** Makes a committed layer with an active layer, a view and a raw layer on it. */
async function makeLayers(store: LayerStore): Promise<void> {
  const write = (key: string, bytes: number) =>
    store.withMounted(key, async folder => writeFileSync(path.join(folder, 'file'), Buffer.alloc(bytes, 1)))
  await store.prepare('a')
  await write('a', 3 * MiB)
  await store.commit('layer', 'a')
  await store.prepare('top', 'layer')
  await write('top', 5 * MiB)
  await store.view('view', 'layer')
  await store.prepare('raw', 'layer', { raw: true })
  const { device } = await store.layer('raw')
  run('dd', ['if=/dev/urandom', `of=${device}`, 'bs=1M', 'count=2', 'conv=fsync'])
}

/** The name of the mapped device of a layer, which is activated. */
const nameOf = async (store: LayerStore, key: string): Promise<string> =>
  readFileSync(`/sys/block/${path.basename((await store.layer(key)).device)}/dm/name`, 'utf8').trim()

/** Fields of the tables and of the status that dmsetup prints for the device of each layer. */
const fieldsOf = async (store: LayerStore, print: (name: string) => string, at: number): Promise<number[]> => {
  const fields: number[] = []
  for (const key of KEYS) fields.push(Number(print(await nameOf(store, key)).split(' ')[at]))
  return fields
}

test.each(['ext4', 'xfs'] as const)('the usage of layers on %s is the same without their devices', async fileSystem => {
  const files = storeFiles({ fileSystem })
  const first = await LayerStore.open(files.options)
  await makeLayers(first)
  const blockBytes = Number(dmTable(files.poolName).split(' ')[5]) * SECTOR_BYTES
  const thins = await fieldsOf(first, dmTable, 4)
  const active = await withoutNewDevice(() => usages(first))
  await first.takeDown()

  const counted = new Map(thinLs(files.metadataFile).map(({ id, mappedBlocks }) => [id, mappedBlocks]))
  const mapped = thins.map(thin => counted.get(thin)! * blockBytes)
  const below = mapped[KEYS.indexOf('view')]! // nothing was written to the view
  expect(active.slice(1)).toEqual(mapped.map(bytes => bytes - below))
  expect(active[1]).toBeGreaterThan(4 * MiB)

  const second = await LayerStore.open({ directory: files.directory })
  expect(await withoutNewDevice(() => usages(second))).toEqual(active)
  expect(dmInfo(files.poolName)!.openCount).toBe(0)
  const sectors = await fieldsOf(second, dmStatus, 3) // makes the devices
  expect(sectors.map(each => each * SECTOR_BYTES)).toEqual(mapped)
  expect(await usages(second)).toEqual(active)
  await second.close()
  await endStore(files)
})

test('the usage of a layer without a device is that of the last commit of the pool', async () => {
  const files = storeFiles()
  const store = await LayerStore.open(files.options)
  await store.prepare('raw', '', { raw: true })
  const { device } = await store.layer('raw')
  const name = await nameOf(store, 'raw')
  const { bytes: before } = await store.usage('raw')
  run('dd', ['if=/dev/urandom', `of=${device}`, 'bs=1M', 'count=8', 'oflag=direct']) // without a flush
  const { bytes: after } = await store.usage('raw')
  expect(after).toBeGreaterThan(before)
  dmRemove(name)
  run('dmsetup', ['status', files.poolName]) // commits
  expect(await withoutNewDevice(() => store.usage('raw'))).toEqual({ bytes: after, inodes: 0 })
  await store.close()
  await endStore(files)
})
