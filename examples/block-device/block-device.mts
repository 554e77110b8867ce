// A loop device as a disk: what is on it, reading and writing it, and its file system frozen, trimmed and grown.
import { mkdir, open, rm, truncate, writeFile } from 'node:fs/promises'
import path from 'node:path'
import {
  BlockDevice,
  detectFileSystem,
  growFileSystem,
  holdersOf,
  LoopDevice,
  MiB,
  mount,
  trim,
  unmount,
  whileFrozen,
} from 'dm-thin'
import { inFolder } from '../scratch.mjs'
import { ext4 as format } from '../walkthrough/format.mjs'

await inFolder('block-device', async folder => {
  const file = path.join(folder, 'disk.img')
  const handle = await open(file, 'wx')
  await handle.truncate(32 * MiB)
  await handle.close()
  await using loop = await LoopDevice.attach({ file, autoclear: true })

  {
    await using device = await BlockDevice.open(loop.path, { exclusive: true })
    await device.write(4 * MiB, Buffer.from('written past the page cache'.padEnd(512)))
    console.log(`read: ${(await device.read(4 * MiB, 512)).toString().trim()}`)
    await device.discard({ offsetBytes: 0, lengthBytes: await device.size() })
    console.log(`after a discard: ${await detectFileSystem(loop.path).then(found => found?.type ?? 'nothing')}`)
  }

  await format(loop.path)
  console.log(`after mkfs: ${(await detectFileSystem(loop.path))?.type}`)
  const target = path.join(folder, 'mounted')
  await mkdir(target)
  await mount({ source: loop.path, target, type: 'ext4', noAtime: true })
  try {
    console.log(`held by: ${(await holdersOf(loop.path)).map(holder => holder.kind).join(', ')}`)
    await whileFrozen(target, async () => {
      await using device = await BlockDevice.open(loop.path, { readOnly: true })
      await device.read(0, 1 * MiB)
      console.log('a copy was taken while nobody could write')
    })

    await writeFile(path.join(target, 'large'), Buffer.alloc(8 * MiB, 1))
    await rm(path.join(target, 'large'))
    console.log(`trimmed: ${(await trim(target)) > 8 * MiB}`)

    await truncate(file, 64 * MiB)
    await loop.resize()
    const { beforeBytes, afterBytes } = await growFileSystem(target)
    console.log(`grown by ${Math.round((afterBytes - beforeBytes) / MiB / 16) * 16} MiB`)
  } finally {
    await unmount(target)
  }
})
