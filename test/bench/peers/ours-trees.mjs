// The layer store's side of the trials on files: archives unpacked into a layer, layers compared.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { unmount } from 'dm-thin'
import * as layers from 'dm-thin/store'
import { nameOf, writeArchive } from '../archive.mjs'
import { writeImage } from '../image.mjs'
import { range } from '../plan.mjs'
import { emptyPool, removeAll, stagedStore, storeDirectory, withStore } from '../store-scratch.mjs'

const DIFF = 'diff'
const LOWER = 'lower'
const UPPER = 'upper'

/**
 * Calls `body` with an archive and, for each of `repeats`, a new layer; what was unpacked goes back to the pool's file.
 * Also the frame of containerd's unpacking.
 */
export async function importing(plan, body) {
  const archive = join(plan.directory, `archive-${process.pid}.tar`)
  writeArchive(archive, plan)
  const round = async store => {
    for (const repeat of range(plan.repeats)) {
      const layer = await store.prepare(`layer-${repeat}`)
      await body({ store, layer, archive })
      await removeAll(store, [layer.key])
    }
  }
  await withStore(plan, round, { discard: true })
  rmSync(archive)
}

/**
 * Calls `body` for each of `repeats` with an image and its compressed layers; what was unpacked goes back to the pool's
 * file. Also the frame of the peer that unpacks layers by containerd's program. `body` gives the keys of its layers,
 * lowest first.
 */
export async function importingImage(plan, body) {
  const image = join(plan.directory, `image-${process.pid}`)
  const archives = writeImage(image, plan)
  const round = async store => {
    for (const repeat of range(plan.repeats)) {
      const keys = await body({ store, image, archives, repeat })
      for (const key of keys.reverse()) await removeAll(store, [key])
    }
  }
  await withStore(plan, round, { discard: true })
  rmSync(image, { recursive: true })
}

/** One layer on top of the other, each unpacked and committed before the next is read. @returns {Promise<string[]>} */
export async function layerByLayer({ store, archives, repeat }, unpackInto) {
  const keys = []
  for (const archive of archives) {
    const [active, committed] = [`active-${repeat}-${keys.length}`, `layer-${repeat}-${keys.length}`]
    const layer = await store.prepare(active, keys.at(-1) ?? '')
    await unpackInto(layer, archive)
    await store.commit(committed, active)
    keys.push(committed)
  }
  return keys
}

/** Half of them changed, a quarter added, a quarter deleted, all over the tree. */
function change(root, { files, count }) {
  const step = Math.floor(files / count)
  for (const index of range(count)) {
    const path = join(root, nameOf(index * step))
    if (index % 4 === 0) rmSync(path)
    else writeFileSync(index % 4 === 1 ? `${path}-added` : path, `changed ${index}`)
  }
}

/** Those of directories only say that something is inside. */
const leaves = list => list.filter(({ kind, path }) => kind !== 'C' || /\/f\d+(-added)?$/.test(path)).length

export const treeTrials = {
  import: (samples, plan) =>
    importing(plan, ({ store, layer, archive }) => samples.time('import', () => store.applyLayer(layer.key, archive))),

  'import-image': (samples, plan) =>
    importingImage(plan, async ({ store, image, archives, repeat }) => {
      const { layers: keys } = await samples.time('import-image', () => store.importImage(image))
      const unpackInto = (layer, archive) => store.applyLayer(layer.key, archive)
      const others = await samples.time('import-image@layer by layer', () =>
        layerByLayer({ store, archives, repeat }, unpackInto),
      )
      return [...keys, ...others]
    }),

  async diff(samples, plan) {
    const [lower, upper] = [LOWER, UPPER].map(name => join(plan.directory, name))
    for (const _ of range(plan.repeats)) {
      const found = await samples.time('diff', () => layers.changes(lower, upper))
      if (leaves(found) !== plan.count) throw new Error(`${leaves(found)} changes found, and not ${plan.count}`)
    }
  },

  /** A layer with many files and a child of it with some changes, both mounted until `diff-unmake`. */
  async 'diff-make'(_samples, plan) {
    const store = await stagedStore(plan, DIFF)
    const archive = join(plan.directory, 'diff.tar')
    writeArchive(archive, plan)
    await store.prepare('made')
    await store.withMounted('made', async folder => {
      execFileSync('tar', ['--extract', '--file', archive, '--directory', folder])
    })
    rmSync(archive)
    await store.commit('lower', 'made')
    const folders = { lower: join(plan.directory, LOWER), upper: join(plan.directory, UPPER) }
    for (const folder of Object.values(folders)) mkdirSync(folder, { recursive: true })
    const [below, above] = [await store.view('view', 'lower'), await store.prepare('upper', 'lower')]
    await above.mount(folders.upper)
    change(folders.upper, plan)
    await below.mount(folders.lower)
    await store.close()
  },

  async 'diff-unmake'(_samples, plan) {
    for (const name of [UPPER, LOWER]) {
      await unmount(join(plan.directory, name))
      rmSync(join(plan.directory, name), { recursive: true })
    }
    await emptyPool(plan)
    rmSync(storeDirectory(plan, DIFF), { recursive: true })
  },
}
