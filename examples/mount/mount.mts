// A file system on a volume and on a snapshot of it, both mounted. The formatter is the example's own, not the library's.
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { GiB, mount, unmount, type ThinVolume } from 'dm-thin'
import { inFolder, withPool } from '../scratch.mjs'
import { ext4 as format } from '../walkthrough/format.mjs'

await inFolder('mount', folder =>
  withPool('mount', async pool => {
    const mounted: string[] = []
    const mountAt = async (volume: ThinVolume, name: string): Promise<string> => {
      const target = path.join(folder, name)
      await mkdir(target)
      await mount({ source: volume.path, target, type: 'ext4', noAtime: true })
      mounted.unshift(target)
      return target
    }
    try {
      const volume = await pool.createVolume({ sizeBytes: 1 * GiB })
      await volume.activate()
      await format(volume.path)
      const original = await mountAt(volume, 'original')
      await writeFile(path.join(original, 'note.txt'), 'written to the original')

      const snapshot = await volume.snapshot({ activate: true }) // of a mounted volume: suspended for the moment
      const copy = await mountAt(snapshot, 'copy')
      await writeFile(path.join(copy, 'note.txt'), 'changed in the copy')

      console.log(`original: ${await readFile(path.join(original, 'note.txt'), 'utf8')}`)
      console.log(`copy: ${await readFile(path.join(copy, 'note.txt'), 'utf8')}`)
    } finally {
      for (const target of mounted) await unmount(target)
    }
  }),
)
