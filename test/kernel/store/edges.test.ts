// Edges of the store: empty file systems that nobody needs, what a passing mount lets through, a compressed archive of an image.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { MiB } from '../../../lib/entry/index.js'
import { makeImage } from '../../helpers/store/oci-image.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { thinIdsBy, withStore } from '../../helpers/store/stores.js'

const scratch = useScratch()

test('prune() removes the base volume of an unused size, and prepare() creates it again', () =>
  withStore({}, async (store, { poolName }) => {
    await store.prepare('a', '')
    await store.prepare('large', '', { sizeBytes: 128 * MiB })
    await store.prune()
    expect(await store.cleanup()).toEqual([])
    expect(thinIdsBy(poolName)).toHaveLength(4)
    await store.remove('a')
    await store.remove('large')
    await store.prune({ dryRun: true })
    expect(await store.cleanup()).toEqual([])
    expect(thinIdsBy(poolName)).toHaveLength(2)
    await store.prune()
    expect(await store.cleanup()).toEqual([])
    expect(thinIdsBy(poolName)).toHaveLength(1)
    await store.prepare('large', '', { sizeBytes: 128 * MiB })
    await store.withMounted('large', async folder => writeFileSync(path.join(folder, 'content'), 'x'))
    expect(thinIdsBy(poolName)).toHaveLength(3)
    expect(await store.verify()).toEqual([])
  }))

test('a temporary mount has nosuid and nodev', () =>
  withStore({}, async store => {
    await store.prepare('a', '')
    const optionsOf = async (key: string) =>
      store.withMounted(key, async folder => {
        const lines = readFileSync('/proc/self/mounts', 'utf8').split('\n')
        return lines
          .find(line => line.split(' ')[1] === folder)!
          .split(' ')[3]!
          .split(',')
      })
    expect(await optionsOf('a')).toEqual(expect.arrayContaining(['rw', 'nosuid', 'nodev']))
    await store.commit('base', 'a')
    expect(await optionsOf('base')).toEqual(expect.arrayContaining(['ro', 'nosuid', 'nodev']))
  }))

test('importImage() reads an archive that is compressed by gzip', () =>
  withStore({}, async store => {
    const file = scratch.path('image.tar')
    makeImage({
      folder: scratch.path('making'),
      name: 'a:1',
      busybox: '/bin/true',
      layers: [{ a: 'a' }],
      archive: file,
    })
    const compressed = `${file}.gz`
    writeFileSync(compressed, gzipSync(readFileSync(file)))
    const { top } = await store.importImage(compressed)
    await store.withMounted(top, async folder => expect(existsSync(path.join(folder, 'a'))).toBe(true))
    expect((await store.importImage(file)).top).toBe(top)
  }))
