// A pool outlives the process that made it: taken up while it runs, and brought back from its files when it does not.
import path from 'node:path'
import { MiB, ThinPool } from 'dm-thin'
import { inFolder } from '../scratch.mjs'

await inFolder('reopen', async folder => {
  const files = {
    data: { file: path.join(folder, 'data.img'), sizeBytes: 256 * MiB },
    metadata: { file: path.join(folder, 'metadata.img'), sizeBytes: 16 * MiB },
  }
  const first = await ThinPool.create({ name: 'reopen', ...files })
  await first.createVolume({ sizeBytes: 64 * MiB, id: 7 })
  await first.close() // lets go of the object; the pool goes on

  const running = await ThinPool.open('reopen')
  const removed = await running.remove() // takes the devices down; the volumes stay in the files
  console.log(`removed pool ${removed.pool} and ${removed.loops.length} loop devices`)

  const again = await ThinPool.open({ name: 'reopen', ...files })
  console.log(`brought back with volumes: ${(await again.volumes()).map(({ id }) => id).join(', ')}`)
  console.log(`findings: ${again.findings.map(({ kind, device }) => `${kind} ${device}`).join(', ') || 'none'}`)

  const volume = await again.volume(7, { sizeBytes: 64 * MiB }) // a pool stores no sizes
  await volume.activate()
  console.log(`volume ${volume.id} is ${(await volume.status()).state}`)
  await again.remove({ deactivate: true, deleteFiles: true })
})
