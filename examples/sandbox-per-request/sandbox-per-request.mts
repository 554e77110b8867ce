// One writable root device per request: snapshots of a golden volume, many at once, each destroyed when its request ends.
import { open } from 'node:fs/promises'
import type { ThinVolume } from 'dm-thin'
import { MiB } from 'dm-thin'
import { withPool } from '../scratch.mjs'

const REQUESTS = 16

/** Stands for the virtual machine that would boot from the device: reads the golden content, writes over it. */
async function useDevice(path: string, request: number): Promise<string> {
  const device = await open(path, 'r+')
  try {
    const { buffer } = await device.read(Buffer.alloc(32), 0, 32, 0)
    await device.write(`request ${request}`.padEnd(32), 0)
    await device.sync()
    return buffer.toString().trim()
  } finally {
    await device.close()
  }
}

async function handle(golden: ThinVolume, request: number): Promise<string> {
  const root = await golden.snapshot({ activate: true })
  try {
    return await useDevice(root.path, request)
  } finally {
    await root.destroy() // deactivate and delete: its blocks are free again
  }
}

await withPool('sandboxes', async pool => {
  const golden = await pool.createVolume({ sizeBytes: 256 * MiB, name: 'golden' })
  await golden.activate()
  const device = await open(golden.path, 'r+')
  await device.write('the golden image'.padEnd(32), 0)
  await device.sync()
  await device.close()
  await golden.deactivate() // nobody can change it any more, and its snapshots suspend nothing

  const answers = await Promise.all(Array.from({ length: REQUESTS }, (_, request) => handle(golden, request)))
  const same = answers.filter(answer => answer === 'the golden image').length
  console.log(`${same} of ${REQUESTS} sandboxes started from the golden image`)
  console.log(`volumes left in the pool: ${(await pool.volumes()).map(volume => volume.id).join(', ')}`)
})
