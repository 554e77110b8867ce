// A layer store on the pool that all peers work on, in a directory of its own; and that pool left as it was found.
import { randomFillSync } from 'node:crypto'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { BlockDevice, SECTOR_BYTES, ThinPool, volumesOf } from 'dm-thin'
import { DeviceMapper } from 'dm-thin/kernel'
import { LayerStore } from 'dm-thin/store'

/** The committed layer of which the others are snapshots. */
export const PARENT = 'parent'
const WRITTEN_BYTES = 16 * 2 ** 20
/** The lowest ids: what a program made first, a file system among it. */
const DISCARDED = 8

/** The store knows a pool by its devices, and the bench by its name. */
async function devicesOf(name) {
  const [line] = await (await DeviceMapper.open()).table(name)
  const [metadata, data] = line.parameters.split(' ').map(device => `/dev/loop${device.split(':')[1]}`)
  return { metadata, data }
}

export async function openStore(plan, directory, options = {}) {
  const pool = { name: plan.pool, ...(await devicesOf(plan.pool)), adopt: true } // the other peers' origin is in it
  return LayerStore.open({ directory, pool, sizeBytes: plan.sectors * SECTOR_BYTES, ...options })
}

/** As much is written to it as to the origin of the others, so that the snapshots share as much. */
export async function makeParent(store) {
  await store.prepare(`${PARENT}-made`)
  const bytes = randomFillSync(Buffer.allocUnsafe(WRITTEN_BYTES))
  await store.withMounted(`${PARENT}-made`, async folder => writeFileSync(join(folder, 'content'), bytes))
  await store.commit(PARENT, `${PARENT}-made`)
}

/** A new store with one committed layer for as long as `body` runs. */
export async function withStore(plan, body, options) {
  const directory = storeDirectory(plan, `store-${process.pid}`)
  const store = await openStore(plan, directory, options)
  await makeParent(store)
  await body(store, directory)
  await store.close()
  await emptyPool(plan)
  rmSync(directory, { recursive: true })
}

export function storeDirectory(plan, name) {
  return join(plan.directory, name)
}

/** A store that stays when its process ends: for the trials of a stage. */
export async function stagedStore(plan, name, options) {
  const directory = storeDirectory(plan, name)
  rmSync(directory, { recursive: true, force: true })
  return openStore(plan, directory, options)
}

/** The names of some layers, and all of them gone from the pool too. */
export async function removeAll(store, keys) {
  await Promise.all(keys.map(key => store.remove(key)))
  await gone(store)
}

/** A removal that could not be done yet is none whose time counts. */
export async function gone(store) {
  const stuck = await store.cleanup()
  if (stuck.length > 0) throw new Error(`${stuck.length} volumes could not be removed: ${stuck[0].error.message}`)
}

/**
 * Deletes all volumes but the origin. Of the first ones the blocks are discarded before: else the pool's file would keep
 * them, and it lies in memory.
 */
export async function emptyPool(plan) {
  const pool = await ThinPool.open(plan.pool)
  const left = (await pool.volumes()).filter(volume => volume.id !== plan.origin)
  volumesOf(await pool.deactivateMany(left.filter(volume => volume.active)))
  const sizeBytes = plan.sectors * SECTOR_BYTES
  for (const volume of left.slice(0, DISCARDED)) {
    await volume.activate({ sizeBytes })
    const device = await BlockDevice.open(volume.path)
    await device.discard({ offsetBytes: 0, lengthBytes: sizeBytes })
    device.close()
    await volume.deactivate()
  }
  for (const volume of left) await volume.delete()
  await pool.close()
}
