// The layer store's side of the trials on files: archives unpacked into layers.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { writeArchive } from '../archive.mjs'
import { writeImage } from '../image.mjs'
import { range } from '../plan.mjs'
import { removeAll, withStore } from '../store-scratch.mjs'

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
}
