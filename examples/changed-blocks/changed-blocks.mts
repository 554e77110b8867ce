// An incremental backup: the first copy of a volume is whole, the next one copies the blocks that have changed since.
import { open, truncate, writeFile, type FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { MiB, type ThinPool, type ThinVolume } from 'dm-thin'
import { ThinMetadata } from 'dm-thin/metadata'
import { inFolder, withPool } from '../scratch.mjs'

const SIZE = 32 * MiB

async function write(volume: ThinVolume, offset: number, text: string): Promise<void> {
  const file = await open(volume.path, 'r+')
  await file.write(text, offset)
  await file.sync()
  await file.close()
}

/** Copies one range of blocks, or makes a hole of zeros where the snapshot has none. */
async function copy(from: FileHandle, to: FileHandle, begin: number, length: number, isMapped: boolean): Promise<void> {
  const bytes = Buffer.alloc(length)
  if (isMapped) await from.read(bytes, 0, length, begin)
  await to.write(bytes, 0, length, begin)
}

/** Brings the backup from the state of `base` to that of `snapshot`. Returns the number of blocks that were copied. */
async function backUp(pool: ThinPool, base: ThinVolume, snapshot: ThinVolume, backup: string): Promise<number> {
  const [from, to] = [await open(snapshot.path, 'r'), await open(backup, 'r+')]
  const metadata = await ThinMetadata.open(pool)
  let blocks = 0
  try {
    const unit = metadata.dataBlockBytes
    for await (const { type, begin, length } of metadata.delta(base.id, snapshot.id, { to: SIZE / unit })) {
      await copy(from, to, begin * unit, length * unit, type !== 'leftOnly')
      blocks += length
    }
  } finally {
    await metadata.close()
    await Promise.all([from.close(), to.close()])
  }
  return blocks
}

async function isEqual(volume: ThinVolume, backup: string): Promise<boolean> {
  const contents = await Promise.all(
    [volume.path, backup].map(async each => {
      const file = await open(each, 'r')
      const bytes = Buffer.alloc(SIZE)
      await file.read(bytes, 0, SIZE, 0)
      await file.close()
      return bytes
    }),
  )
  return contents[0]!.equals(contents[1]!)
}

await inFolder('changed-blocks', async folder => {
  await withPool('changed-blocks', async pool => {
    const backup = path.join(folder, 'backup.img')
    await writeFile(backup, '')
    await truncate(backup, SIZE)
    const empty = await pool.createVolume({ sizeBytes: SIZE })
    const volume = await (await empty.snapshot()).activate()

    for (let at = 0; at < SIZE; at += MiB) await write(volume, at, `monday at ${at}`)
    const monday = await volume.snapshot({ activate: true })
    console.log(`monday: ${await backUp(pool, empty, monday, backup)} blocks copied`)

    await write(volume, 5 * MiB, 'tuesday')
    await write(volume, 9.5 * MiB, 'tuesday, in a new place')
    const tuesday = await volume.snapshot({ activate: true })
    console.log(`tuesday: ${await backUp(pool, monday, tuesday, backup)} blocks copied`)
    console.log(`the backup equals the snapshot: ${await isEqual(tuesday, backup)}`)
  })
})
