// An import of an image on a real kernel, whose next layer is read while a layer waits for its sync. The sync is held until
// the next layer has been read, so that an import that does not read ahead does not end.
import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, readdirSync, readlinkSync, renameSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { loadAddon } from '../../../lib/kernel/load-addon.js'
import type { LayerStore } from '../../../lib/entry/store.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { EIO, useFaults } from '../../helpers/fault/fault.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run } from '../../helpers/process/spawned.js'
import { makeImage } from '../../helpers/store/oci-image.js'
import { keysOf, thinIdsBy, withStore } from '../../helpers/store/stores.js'

const scratch = useScratch()
const hooks = useFaults()
const addon = loadAddon()
const { syncFileSystem } = addon
afterEach(() => void Object.assign(addon, { syncFileSystem }))

interface Layout {
  readonly folder: string
  /** Resolves when all bytes of the second layer have been read. */
  readonly isRead: Promise<unknown>
}

/** Makes a layout of two layers. The second one is a FIFO, so that it is known when somebody reads it. */
function makeLayout(): Layout {
  const folder = scratch.path(scratch.name('layout'))
  const archive = `${folder}.tar`
  const layers = [{ 'etc/base': 'base' }, { 'etc/top': 'top' }]
  makeImage({ folder: `${folder}-making`, name: 'a:1', busybox: '/bin/true', layers, archive })
  mkdirSync(folder)
  run('tar', ['-C', folder, '-xf', archive])
  const document = (digest: string): Record<string, unknown> =>
    JSON.parse(readFileSync(path.join(folder, 'blobs/sha256', digest.slice(7)), 'utf8')) as Record<string, unknown>
  const index = JSON.parse(readFileSync(path.join(folder, 'index.json'), 'utf8')) as { manifests: { digest: string }[] }
  const manifest = document(index.manifests[0]!.digest) as { layers: { digest: string }[] }
  const blob = path.join(folder, 'blobs/sha256', manifest.layers[1]!.digest.slice(7))
  renameSync(blob, `${folder}.blob`)
  run('mkfifo', [blob])
  const isRead = promisify(execFile)('sh', ['-c', 'cat "$0" > "$1"', `${folder}.blob`, blob])
  return { folder, isRead }
}

/** Calls `held` when the content of the lowest layer is to be synced, after the second layer has been read. */
function holdSync({ isRead }: Layout, held: () => void): void {
  addon['syncFileSystem'] = async (...args) => {
    Object.assign(addon, { syncFileSystem })
    await isRead
    held()
    return syncFileSystem!(...args)
  }
}

const openBelow = (folder: string): string[] =>
  readdirSync('/proc/self/fd').flatMap(fd => {
    try {
      const file = readlinkSync(`/proc/self/fd/${fd}`)
      return file.startsWith(folder) ? [file] : []
    } catch {
      return [] // it was that of the list
    }
  })

/** Imports with a base volume that exists. Waits until nothing of the layout is open. */
async function withImport(held: () => void, body: (store: LayerStore, folder: string) => Promise<void>): Promise<void> {
  await withStore({}, async (store, { poolName }) => {
    await store.prepare('first')
    await store.remove('first')
    await store.cleanup()
    expect(thinIdsBy(poolName)).toHaveLength(1)
    const layout = makeLayout()
    holdSync(layout, held)
    await body(store, layout.folder)
    while (openBelow(layout.folder).length > 0) await sleep(1)
    expect(await store.cleanup()).toEqual([])
    expect(await store.verify()).toEqual([])
    expect(thinIdsBy(poolName)).toHaveLength(1 + (await keysOf(store)).length)
  })
}

test('importImage reads a layer while the one below it waits for its sync', () =>
  withImport(
    () => {},
    async (store, folder) => {
      const { layers, top } = await store.importImage(folder)
      expect(await keysOf(store)).toEqual([...layers].sort())
      const content = await store.withMounted(top, async root =>
        ['etc/base', 'etc/top'].map(file => readFileSync(path.join(root, file), 'utf8')),
      )
      expect(content).toEqual(['base', 'top'])
    },
  ))

test('importImage leaves nothing if the sync of a layer fails after the next one has been read', () =>
  withImport(
    () => hooks.setFault('syncfs', 1, 'fail', EIO),
    async (store, folder) => {
      await expectCode(store.importImage(folder), 'DM_LAYER_DAMAGED')
      expect(await keysOf(store)).toEqual([])
    },
  ))

test('importImage leaves nothing if it is aborted after the next layer has been read', () => {
  const controller = new AbortController()
  return withImport(
    () => controller.abort(),
    async (store, folder) => {
      await expectCode(store.importImage(folder, { signal: controller.signal }), 'ABORT_ERR')
      expect(await keysOf(store)).toEqual([])
    },
  )
})
