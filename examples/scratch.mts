// What most examples use: a pool over two sparse files in a folder of its own, or a store of layers on such a pool,
// removed at the end.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { GiB, MiB, ThinPool } from 'dm-thin'
import { LayerStore } from 'dm-thin/store'

export async function inFolder(name: string, body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), `dm-thin-${name}-`))
  try {
    await body(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}

export async function withPool(name: string, body: (pool: ThinPool) => Promise<void>): Promise<void> {
  await inFolder(name, async folder => {
    const pool = await ThinPool.create({
      name,
      data: { file: path.join(folder, 'data.img'), sizeBytes: 10 * GiB },
      metadata: { file: path.join(folder, 'metadata.img'), sizeBytes: 64 * MiB },
    })
    try {
      await body(pool)
    } finally {
      await pool.remove({ deactivate: true })
    }
  })
}

export async function withStore(name: string, body: (store: LayerStore) => Promise<void>): Promise<void> {
  await inFolder(name, async directory => {
    const store = await LayerStore.open({ directory, sizeBytes: 64 * MiB, pool: { name } })
    try {
      await body(store)
    } finally {
      await store.takeDown()
    }
  })
}
