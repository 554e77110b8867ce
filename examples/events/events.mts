// A pool that grows when it runs low, because the kernel said so.
import { open } from 'node:fs/promises'
import path from 'node:path'
import { KiB, MiB, ThinPool } from 'dm-thin'
import { inFolder } from '../scratch.mjs'

await inFolder('events', async folder => {
  const pool = await ThinPool.create({
    name: path.basename(folder),
    data: { file: path.join(folder, 'data.img'), sizeBytes: 4 * MiB },
    metadata: { file: path.join(folder, 'metadata.img'), sizeBytes: 4 * MiB },
    lowWaterMarkBlocks: 16,
  })
  try {
    const volume = await pool.createVolume({ sizeBytes: 64 * MiB })
    await volume.activate()

    const events = pool.events()
    await events.ready
    const written = fill(volume.path, 6 * MiB)
    for await (const event of events) {
      console.log(event.type)
      if (event.type !== 'low-water') continue
      await pool.grow({ dataBytes: event.status.data.totalBytes + 8 * MiB })
      const { data } = await pool.status()
      console.log(`grown to ${data && data.totalBytes / MiB} MiB`)
      break
    }
    await written
    console.log('everything was written')
  } finally {
    await pool.remove({ deactivate: true, deleteFiles: true })
  }
})

async function fill(device: string, bytes: number): Promise<void> {
  const handle = await open(device, 'r+')
  try {
    for (let at = 0; at < bytes; at += 64 * KiB) await handle.write(Buffer.alloc(64 * KiB, 1), 0, 64 * KiB, at)
    await handle.sync()
  } finally {
    await handle.close()
  }
}
