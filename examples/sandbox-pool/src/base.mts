// What every sandbox starts from: a committed layer, made at the first start.
import { cp, mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { DmThinError } from 'dm-thin'
import type { LayerStore } from 'dm-thin/store'

export const BASE = 'base'

export async function ensureBase(store: LayerStore, source: string | undefined): Promise<void> {
  if (await has(store, BASE)) return
  await store.prepare('making-base')
  await store.withMounted('making-base', folder =>
    source === undefined ? skeleton(folder) : cp(source, folder, { recursive: true, verbatimSymlinks: true }),
  )
  await store.commit(BASE, 'making-base')
}

/** Stands for a distribution's root file system. */
async function skeleton(folder: string): Promise<void> {
  for (const name of ['bin', 'dev', 'etc', 'home', 'proc', 'sys', 'tmp', 'usr', 'var']) {
    await mkdir(path.join(folder, name))
  }
  await writeFile(path.join(folder, 'etc', 'motd'), 'a fresh sandbox\n')
}

async function has(store: LayerStore, key: string): Promise<boolean> {
  try {
    await store.stat(key)
    return true
  } catch (fault) {
    if (fault instanceof DmThinError && fault.code === 'DM_LAYER_NOT_FOUND') return false
    throw fault
  }
}
