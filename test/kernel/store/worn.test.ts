// A store whose pool has come to the margin of the kernel's snapshot clock: nothing new is made, and all that there is can
// be read, committed, exported and removed.
import { createReadStream } from 'node:fs'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { LayerStore } from '../../../lib/entry/store.js'
import { SNAPSHOT_LIMIT } from '../../../lib/pool/state/snapshot-clock.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { setSnapshots } from '../../helpers/store/snapshot-clock.js'
import { withStore } from '../../helpers/store/stores.js'

useScratch()

test('new layers are rejected at the snapshot limit, and existing ones can be read, committed, exported and removed', () =>
  withStore({}, async (first, { options, metadataFile }) => {
    await first.prepare('a', '')
    await first.withMounted('a', folder => writeFile(path.join(folder, 'content'), 'of a'))
    await first.commit('base', 'a')
    await first.prepare('b', 'base')
    await first.takeDown()
    await setSnapshots(metadataFile, SNAPSHOT_LIMIT)

    const store = await LayerStore.open(options)
    expect((await store.status()).pool.snapshots).toMatchObject({ left: 0 })
    await expectCode(store.prepare('c', 'base'), 'DM_POOL_WORN')
    await expectCode(store.view('c', 'base'), 'DM_POOL_WORN')
    await expectCode(store.warm('base', 1), 'DM_POOL_WORN')
    await expectCode(store.importImage(await exported(store, 'base'), {}), 'DM_POOL_WORN')

    await store.withMounted('b', folder => writeFile(path.join(folder, 'more'), 'of b'))
    await store.withMounted('b', async () => {
      // Somebody has it mounted: the committed layer would be a snapshot of it.
      await expectCode(store.commit('top', 'b'), 'DM_POOL_WORN')
    })
    await store.commit('top', 'b')
    const content = (name: string) => async (folder: string) => readFile(path.join(folder, name), 'utf8')
    expect(await store.withMounted('top', content('more'))).toBe('of b')
    expect(await store.withMounted('top', content('content'))).toBe('of a')
    await expect(
      store.withMounted('top', folder => writeFile(path.join(folder, 'more'), 'changed')),
    ).rejects.toMatchObject({ code: 'EROFS' })
    expect(await store.verify()).toEqual([])
    await store.remove('top')
    await store.remove('base')
    expect(await store.cleanup()).toEqual([])
    await store.close()
  }))

/** An archive of the layer, for another store to import. */
async function exported(store: LayerStore, key: string): Promise<AsyncIterable<Uint8Array>> {
  const file = path.join(store.directory, 'exported.tar')
  await writeFile(file, store.exportImage(key))
  return createReadStream(file)
}

test.each([
  [2, 'rejects with DM_POOL_WORN'],
  [3, 'resolves'],
])('a reset of a layer in a pool that can make %i more snapshots %s', left =>
  withStore({}, async (first, { options, metadataFile }) => {
    await first.prepare('live', '')
    await first.withMounted('live', folder => writeFile(path.join(folder, 'content'), 'of it'))
    await first.takeDown()
    await setSnapshots(metadataFile, SNAPSHOT_LIMIT - left)

    const store = await LayerStore.open(options)
    if (left < 3) await expectCode(store.reset('live'), 'DM_POOL_WORN')
    else await store.reset('live')
    const names = await store.withMounted('live', folder => readdir(folder))
    expect(names).toEqual(left < 3 ? ['content'] : [])
    expect(await store.cleanup()).toEqual([])
    expect(await store.verify()).toEqual([])
    expect((await store.status()).pool.snapshots).toMatchObject({ left: left < 3 ? left : 0 })
    await store.close()
  }),
)
