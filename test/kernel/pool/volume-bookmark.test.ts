// Bookmarks of volumes and of layers: what has changed since, also if the bookmarked one is gone.
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { MiB } from '../../../lib/entry/index.js'
import { LayerStore } from '../../../lib/entry/store.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { writeBlock } from '../../helpers/kernel/blocks.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { discard, written } from '../../helpers/metadata/bookmark.js'
import { collect } from '../../helpers/metadata/collect.js'
import { withPool } from '../../helpers/pool/pools.js'

const scratch = useScratch()

test('changedSince of a volume in use returns what has changed since the bookmark of a deleted snapshot', async () => {
  const file = scratch.path('volume.bookmark')
  await withPool(async pool => {
    const volume = await written(pool, 8)
    const snapshot = await volume.snapshot()
    expect(await snapshot.bookmark(file)).toMatchObject({ blocks: 8 })
    await snapshot.delete()
    await writeBlock(volume.path, 2, 50)
    await writeBlock(volume.path, 20, 51)
    await discard(volume, 5)
    expect(await collect(volume.changedSince(file))).toEqual([
      { type: 'different', begin: 2, length: 1 },
      { type: 'leftOnly', begin: 5, length: 1 },
      { type: 'rightOnly', begin: 20, length: 1 },
    ])
    expect(await collect(volume.changedSince(file, { from: 3, to: 20 }))).toEqual([
      { type: 'leftOnly', begin: 5, length: 1 },
    ])
    // An iteration that is left early holds nothing.
    for await (const range of volume.changedSince(file)) {
      expect(range.type).toBe('different')
      break
    }
    expect((await pool.status()).mode).toBe('rw')
    await pool.reserveMetadataSnapshot()
    await pool.releaseMetadataSnapshot()
    await expectCode(volume.bookmark(file), 'DM_BOOKMARK_INVALID')
    await volume.close()
    await expectCode(collect(volume.changedSince(file)), 'DM_CLOSED')
  })
})

test('changedSince of a layer returns what has changed since the bookmark of a checkpoint that is removed', async () => {
  const file = scratch.path('layer.bookmark')
  const directory = scratch.path('store')
  const store = await LayerStore.open({ directory, sizeBytes: 32 * MiB, pool: { name: scratch.name('pool') } })
  try {
    await store.prepare('work')
    await store.withMounted('work', async folder => writeFileSync(path.join(folder, 'before'), 'x'.repeat(200_000)))
    await store.checkpoint('monday', 'work')
    expect((await store.bookmark('monday', file)).blocks).toBeGreaterThan(0)
    await store.remove('monday')
    await store.cleanup()
    await store.withMounted('work', async folder => writeFileSync(path.join(folder, 'after'), 'y'.repeat(200_000)))
    const ranges = await collect(store.changedSince('work', file))
    const blocks = ranges.reduce((sum, { length }) => sum + length, 0)
    expect(blocks).toBeGreaterThanOrEqual(4)
    expect(blocks).toBeLessThan(100)
    await expectCode(store.bookmark('none', file), 'DM_LAYER_NOT_FOUND')
    await expectCode(store.bookmark('work', file), 'DM_BOOKMARK_INVALID')
    await expectCode(collect(store.changedSince('none', file)), 'DM_LAYER_NOT_FOUND')

    // The layer stays while it is read.
    const reading = store.changedSince('work', file)
    await reading.next()
    await store.remove('work')
    const [stuck] = await store.cleanup()
    expect(stuck).toMatchObject({ error: { code: 'DM_BUSY' } })
    await reading.return()
    expect(await store.cleanup()).toEqual([])
  } finally {
    await store.takeDown()
  }
})
