// The pools of one snapshotter. A layer is in the pool of its parent. A layer without a parent is in the pool that a label
// names.
import { existsSync } from 'node:fs'
import { mkdir, readdir } from 'node:fs/promises'
import path from 'node:path'
import { LayerStore } from '../store/layer-store.js'
import type { Labels } from '../store/common/layer-types.js'
import type { OpenStoreOptions } from '../store/common/store-options.js'
import { DmThinError } from '../base/errors.js'
import { RequestError, STATUS } from '../grpc/statuses.js'

const POOL = 'containerd.io/snapshot/dm-thin/pool'
/** The value of the label for the main pool, which is that of the store itself. */
const MAIN = 'default'

/** The paths of the block devices of a pool. Set both or neither; without them, the pool has files. */
export interface PoolDevices {
  /** The path of the block device of the data. Default: a file in the directory of the pool. */
  readonly data?: string
  /** The path of the block device of the metadata. Default: a file in the directory of the pool. */
  readonly metadata?: string
}

/** The stores of a snapshotter, one for each pool. */
export class Pools {
  readonly #byName: ReadonlyMap<string, LayerStore>
  readonly #turns = new Map<string, Promise<unknown>>()

  private constructor(byName: ReadonlyMap<string, LayerStore>) {
    this.#byName = byName
  }

  /** Opens the store of `options`, the named stores, and those that earlier starts created in its directory. */
  static async open(options: OpenStoreOptions, named: ReadonlyMap<string, PoolDevices>): Promise<Pools> {
    const folder = path.join(options.directory, 'pools')
    const known = existsSync(folder) ? await readdir(folder) : []
    const opened = new Map<string, LayerStore>()
    const pools = new Pools(opened)
    try {
      opened.set(MAIN, await LayerStore.open(options))
      for (const name of new Set([...known, ...named.keys()])) {
        const directory = path.join(folder, name)
        await mkdir(directory, { recursive: true })
        const own = options.pool?.name
        const pool = { ...named.get(name), ...(own !== undefined && { name: `${own}.${name}` }) }
        opened.set(name, await LayerStore.open({ ...options, directory, pool }))
      }
      return pools
    } catch (error) {
      await pools.close()
      throw error
    }
  }

  get all(): readonly LayerStore[] {
    return [...this.#byName.values()]
  }

  /** Returns the store that has a layer, or the main store, whose calls reject with `DM_LAYER_NOT_FOUND`. */
  async having(key: string): Promise<LayerStore> {
    const [main, ...others] = this.all
    for (const store of others) if (await has(store, key)) return store
    return main!
  }

  /** Runs `body` with the store for a new layer: that of its parent, or the one that its label names. */
  async make<T>(key: string, parent: string, labels: Labels, body: (store: LayerStore) => Promise<T>): Promise<T> {
    const store = parent === '' ? this.#labelled(labels) : await this.having(parent)
    return this.named(key, store, body)
  }

  /** Runs `body`, which creates a layer named `key` in `store`, if no other pool has a layer of this name. */
  async named<T>(key: string, store: LayerStore, body: (store: LayerStore) => Promise<T>): Promise<T> {
    if (this.#byName.size === 1) return body(store)
    return this.#inTurn(key, async () => {
      for (const other of this.all) {
        if (other !== store && (await has(other, key)))
          throw new RequestError(STATUS.ALREADY_EXISTS, `another pool has a layer ${JSON.stringify(key)}`)
      }
      return body(store)
    })
  }

  async close(): Promise<void> {
    for (const store of this.all) await store.close()
  }

  #labelled(labels: Labels): LayerStore {
    const name = labels[POOL] ?? MAIN
    const store = this.#byName.get(name)
    if (store) return store
    const known = [...this.#byName.keys()].join(', ')
    throw new RequestError(STATUS.INVALID_ARGUMENT, `label ${POOL} is ${JSON.stringify(name)}: there is ${known}`)
  }

  async #inTurn<T>(key: string, body: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(key)
    const running = (async () => {
      await before?.catch(() => {})
      return body()
    })()
    this.#turns.set(key, running)
    try {
      return await running
    } finally {
      if (this.#turns.get(key) === running) this.#turns.delete(key)
    }
  }
}

async function has(store: LayerStore, key: string): Promise<boolean> {
  try {
    await store.stat(key)
    return true
  } catch (error) {
    if (error instanceof DmThinError && error.code === 'DM_LAYER_NOT_FOUND') return false
    throw error
  }
}

/** Returns whether a further pool can have this name. It becomes the name of a directory, and part of a mapped device's. */
export const isPoolName = (name: string): boolean => name !== MAIN && /^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/.test(name)
