// What was written to a layer is on the pool when a call says so, and a layer that is not whole is not committed.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { LayerStore } from '../../../lib/entry/store.js'
import { MiB, unmount } from '../../../lib/entry/index.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { run, tryRun } from '../../helpers/process/spawned.js'
import { keysOf, withStore } from '../../helpers/store/stores.js'
import { useScratch } from '../../helpers/kernel/scratch.js'

const scratch = useScratch()

const WRITING_BACK = [/low water mark/, /EXT4-fs/, /Buffer I\/O error/, /I\/O error/, /XFS/, /no free space/]

/** More than the pool has, in one file and without fsync. Writes go to memory, so that `dd` is not told. */
const overfill = async (folder: string) =>
  tryRun('dd', ['if=/dev/urandom', `of=${path.join(folder, 'fill')}`, 'bs=1M', 'count=40'])

test('withMounted rejects if writes did not reach the pool, and the layer is not committed', () =>
  withStore({ dataBytes: 32 * MiB }, async (store: LayerStore) => {
    scratch.log.allow(...WRITING_BACK)
    await store.prepare('a')
    const fault = await store.withMounted('a', overfill).then(
      () => undefined,
      (reason: { code: string }) => reason.code,
    )
    expect(['DM_LAYER_SPACE', 'DM_LAYER_DAMAGED']).toContain(fault)
    await expectCode(store.commit('layer', 'a'), 'DM_POOL_FULL')
    expect(await keysOf(store)).toEqual(['a'])
  }))

test('a file system with recorded errors is not committed, and its layer stays active', () =>
  withStore({}, async store => {
    scratch.log.allow(/EXT4-fs/)
    const layer = await store.prepare('a')
    run('tune2fs', ['-E', 'force_fsck', layer.mounts[0]!.source])
    await expectCode(store.commit('layer', 'a'), 'DM_LAYER_DAMAGED')
    expect((await store.stat('a')).kind).toBe('active')
    expect(tryRun('e2fsck', ['-fy', layer.mounts[0]!.source]).status).toBe(1) // errors are corrected
    await store.commit('layer', 'a')
  }))

test.each(['ext4', 'xfs'] as const)('a %s whose journal has to be replayed is replayed before the commit', fileSystem =>
  withStore({ fileSystem }, async store => {
    scratch.log.allow(/EXT4-fs/, /XFS/, /I\/O error/)
    const layer = await store.prepare('a')
    const target = scratch.path(`shut-${fileSystem}`)
    mkdirSync(target)
    await layer.mount(target)
    writeFileSync(path.join(target, 'file'), 'content')
    run('sync', ['-f', target])
    writeFileSync(path.join(target, 'other'), 'content')
    run('xfs_io', ['-x', '-c', 'shutdown -f', target]) // as a loss of power
    await unmount(target)
    await store.commit('layer', 'a')
    await store.withMounted('layer', async folder =>
      expect(readFileSync(path.join(folder, 'file'), 'utf8')).toBe('content'),
    )
  }),
)
