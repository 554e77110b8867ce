// A store keeps a reserve, says when it is reached, and goes on when the pool has grown or layers have gone.
import { readdirSync, statSync } from 'node:fs'
import path from 'node:path'
import { MiB } from '../../../lib/entry/index.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { tryRun } from '../../helpers/process/spawned.js'
import { withStore } from '../../helpers/store/stores.js'
import { useScratch } from '../../helpers/kernel/scratch.js'

useScratch()

const fill = (mebibytes: number) => async (folder: string) =>
  tryRun('dd', ['if=/dev/urandom', `of=${path.join(folder, 'fill')}`, 'bs=1M', `count=${mebibytes}`])

test('layers can be removed and read below the reserve, and new ones reject with DM_POOL_FULL', () =>
  withStore({ dataBytes: 64 * MiB, reservePercent: 50 }, async store => {
    await store.prepare('a')
    await store.commit('layer', 'a')
    await store.prepare('large', 'layer')
    await store.withMounted('large', fill(32))
    await expectCode(store.prepare('b', 'layer'), 'DM_POOL_FULL')
    await expectCode(store.view('b', 'layer'), 'DM_POOL_FULL')
    await expectCode(store.warm('layer', 1), 'DM_POOL_FULL')
    await store.warm('layer', 0)
    await store.withMounted('layer', async folder => expect(readdirSync(folder)).toEqual([]))
    await store.remove('large')
    expect(await store.cleanup()).toEqual([])
    await store.prepare('b', 'layer')
  }))

test('grow() makes new layers possible, and allocates the file of the metadata', () =>
  withStore({ dataBytes: 64 * MiB, reservePercent: 50 }, async (store, { metadataFile }) => {
    await store.prepare('a')
    await store.withMounted('a', fill(40))
    await expectCode(store.prepare('b'), 'DM_POOL_FULL')
    const allocated = () => statSync(metadataFile).blocks * 512
    expect(allocated()).toBeGreaterThanOrEqual(16 * MiB)
    await store.grow({ dataBytes: 256 * MiB, metadataBytes: 32 * MiB })
    await store.prepare('b')
    const { pool } = await store.status()
    expect([pool.data?.totalBytes, statSync(metadataFile).size]).toEqual([256 * MiB, 32 * MiB])
    expect(allocated()).toBeGreaterThanOrEqual(32 * MiB)
  }))
