// Bookmarks after stops of their pool: valid if the record proves that nothing was lost, and refused otherwise.
import { copyFileSync, readFileSync, rmSync } from 'node:fs'
import { MiB, ThinPool, type ThinVolume } from '../../../lib/entry/index.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { writeBlock } from '../../helpers/kernel/blocks.js'
import { dmRemove } from '../../helpers/kernel/dmsetup.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { bookmark, changed, written } from '../../helpers/metadata/bookmark.js'
import { withPool } from '../../helpers/pool/pools.js'
import { run } from '../../helpers/process/spawned.js'

const scratch = useScratch()
const OPTIONS = { dataBytes: 64 * MiB, metadataBytes: 4 * MiB }

describe('B5: after a stop of the pool', () => {
  /** Makes a bookmark of a pool with a record, and an image of older metadata. */
  async function stopping(
    body: (stop: {
      readonly pool: ThinPool
      readonly volume: ThinVolume
      readonly file: string
      readonly older: string
      readonly metadataFile: string
      readonly name: string
      readonly record: string
      readonly open: (options?: object) => Promise<ThinPool>
    }) => Promise<void>,
  ): Promise<void> {
    const record = scratch.path('pool.json')
    await withPool({ ...OPTIONS, record }, async (pool, { name, metadataFile, reopen }) => {
      const volume = await written(pool, 4)
      await pool.commit()
      const [file, older] = [scratch.path('stopped.bookmark'), scratch.path('older')]
      copyFileSync(metadataFile, older)
      const base = await volume.snapshot()
      await bookmark(pool, base, file)
      await base.delete()
      const open = (options: object = { record }) => ThinPool.open({ ...reopen, ...options })
      await body({ pool, volume, file, older, metadataFile, name, record, open })
    })
    rmSync(record)
  }

  const refused = async (pool: ThinPool, file: string, volume: ThinVolume) =>
    expect(await expectCode(changed(pool, file, volume), 'DM_BOOKMARK_INVALID')).toMatchObject({
      detail: 'pool-start',
    })

  test('the bookmark is valid at each further start with the record, if remove() has stopped the pool', () =>
    stopping(async ({ pool, volume, file, open }) => {
      await writeBlock(volume.path, 1, 51)
      await pool.remove({ deactivate: true })
      for (const block of [2, 3]) {
        const again = await open()
        expect(again.findings).toEqual([])
        await (await again.volume(volume.id)).activate()
        expect(await changed(again, file, volume)).toEqual([{ type: 'different', begin: 1, length: block - 1 }])
        await writeBlock(volume.path, block, 60)
        await again.remove({ deactivate: true })
      }
    }))

  test('the bookmark is refused with older metadata, and stays so', () =>
    stopping(async ({ pool, volume, file, older, metadataFile, open }) => {
      await pool.remove({ deactivate: true })
      const newer = scratch.path('newer')
      copyFileSync(metadataFile, newer)
      copyFileSync(older, metadataFile)
      const again = await open()
      await refused(again, file, volume)
      await again.remove({ deactivate: true })
      copyFileSync(newer, metadataFile)
      const last = await open()
      await refused(last, file, volume)
      await last.close()
    }))

  test('the bookmark is refused with repaired metadata', () =>
    stopping(async ({ pool, volume, file, metadataFile, open }) => {
      await pool.remove({ deactivate: true })
      const damaged = scratch.path('damaged')
      copyFileSync(metadataFile, damaged)
      run('thin_repair', ['-i', damaged, '-o', metadataFile])
      const again = await open()
      await refused(again, file, volume)
      await again.close()
    }))

  test('the bookmark is refused if something else than remove() has stopped the pool', () =>
    stopping(async ({ pool, volume, file, name, open }) => {
      await volume.deactivate()
      await pool.close()
      dmRemove(name)
      const again = await open()
      await refused(again, file, volume)
      await again.close()
    }))

  test('a clean stop counts once: an unclean one of unchanged metadata after it is recognised', () =>
    stopping(async ({ pool, volume, file, name, open }) => {
      await pool.remove({ deactivate: true })
      const again = await open()
      expect(await changed(again, file, volume)).toEqual([])
      await again.close()
      dmRemove(name)
      const last = await open()
      await refused(last, file, volume)
      await last.close()
    }))

  test('the bookmark is refused at a start without the record', () =>
    stopping(async ({ pool, volume, file, open }) => {
      await pool.remove({ deactivate: true })
      const again = await open({})
      await refused(again, file, volume)
      await again.close()
    }))

  test('the record is not continued while a start without it runs', () =>
    stopping(async ({ pool, volume, file, name, record, open }) => {
      await pool.remove({ deactivate: true })
      expect(readFileSync(record, 'utf8')).toContain('"stopped"')
      const without = await open({})
      const attached = await ThinPool.open({ name, record })
      await refused(attached, file, volume)
      expect(readFileSync(record, 'utf8')).not.toContain('"stopped"')
      await attached.close()
      await without.close()
    }))
})
