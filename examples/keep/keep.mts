// A pool of 4 MiB takes 32 MiB of data, because a keeper grows it. At its largest size it rejects new volumes.
import { open } from 'node:fs/promises'
import path from 'node:path'
import { DmThinError, KiB, MiB, ThinPool } from 'dm-thin'
import { inFolder } from '../scratch.mjs'

await inFolder('keep', async folder => {
  const pool = await ThinPool.create({
    name: path.basename(folder),
    data: { file: path.join(folder, 'data.img'), sizeBytes: 4 * MiB },
    metadata: { file: path.join(folder, 'metadata.img'), sizeBytes: 4 * MiB },
    reserve: { dataBytes: 1 * MiB, metadataBytes: 1 * MiB },
  })
  try {
    const keeper = await pool.keep({
      data: { growBelowBytes: 2 * MiB, stepBytes: 8 * MiB, maxBytes: 36 * MiB },
      onGrow: ({ role, fromBytes, toBytes }) => {
        if (role === 'metadata') console.log(`${role}: from ${fromBytes / MiB} to ${toBytes / MiB} MiB`)
      },
      onError: error => console.log(error.code, error.detail),
    })
    const volume = await pool.createVolume({ sizeBytes: 64 * MiB })
    await volume.activate()
    await fill(volume.path, 32 * MiB)
    console.log('everything was written')

    const { dataUsedBytes = 0, dataTotalBytes = 0, volumes } = await pool.metrics()
    // The keeper has a few spare blocks, which count as used.
    console.log(`${Math.floor(dataUsedBytes / MiB)} of ${dataTotalBytes / MiB} MiB used by ${volumes} volume`)

    await fill(volume.path, 35.5 * MiB)
    await pool.createVolume({ sizeBytes: MiB }).catch((error: unknown) => {
      if (!(error instanceof DmThinError) || error.code !== 'DM_POOL_RESERVE') throw error
      console.log(`rejected: ${error.missingBytes! / KiB} KiB are missing from the reserve of ${error.detail}`)
    })
    await keeper.stop()
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
