// A file as a block device: attach, find again, follow the file as it grows, detach.
import { open, truncate } from 'node:fs/promises'
import path from 'node:path'
import { LoopDevice, MiB } from 'dm-thin'
import { inFolder } from '../scratch.mjs'

await inFolder('loop', async folder => {
  const file = path.join(folder, 'disk.img')
  const handle = await open(file, 'wx')
  await handle.truncate(8 * MiB)
  await handle.close()

  const loop = await LoopDevice.attach({ file })
  try {
    console.log(`attached, ${loop.info.sizeBytes / MiB} MiB`)
    const found = (await LoopDevice.list()).find(each => each.number === loop.number)
    console.log(`listed with its file: ${found?.file === loop.file}`)

    await truncate(file, 16 * MiB)
    console.log(`grown to ${(await loop.resize()) / MiB} MiB`)
  } finally {
    await loop.detach()
  }
  const left = (await LoopDevice.list()).filter(each => each.file.startsWith(file))
  console.log(`detached, ${left.length} left`)
})
