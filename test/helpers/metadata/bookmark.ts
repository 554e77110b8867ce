// Bookmarks of a pool of a test.
import { BlockDevice, type ThinPool, type ThinVolume } from '../../../lib/entry/index.js'
import { ThinMetadata } from '../../../lib/entry/metadata.js'
import { BLOCK, writeBlock } from '../kernel/blocks.js'
import { collect } from './collect.js'

export const VOLUME_BYTES = 64 * BLOCK

/** Creates an active volume whose first blocks have the seeds 1, 2 … */
export async function written(pool: ThinPool, blocks: number): Promise<ThinVolume> {
  const volume = await (await pool.createVolume({ sizeBytes: VOLUME_BYTES })).activate()
  for (let block = 0; block < blocks; block++) await writeBlock(volume.path, block, block + 1)
  return volume
}

export async function discard(volume: ThinVolume, block: number, blocks = 1): Promise<void> {
  const device = await BlockDevice.open(volume.path)
  await device.discard({ offsetBytes: block * BLOCK, lengthBytes: blocks * BLOCK })
  await device.close()
}

export async function bookmark(pool: ThinPool, volume: ThinVolume, file: string) {
  const metadata = await ThinMetadata.open(pool, { reserve: false })
  try {
    return await metadata.bookmark(volume.id, file)
  } finally {
    await metadata.close()
  }
}

export async function changed(pool: ThinPool, file: string, volume: ThinVolume, options = {}) {
  const metadata = await ThinMetadata.open(pool, options)
  try {
    return await collect(metadata.changedSince(file, volume.id))
  } finally {
    await metadata.close()
  }
}
