// One socket, several pools: a layer lies in one of them, with all that is below it. Where nothing is below, a label of
// the image says in which.
import { existsSync } from 'node:fs'
import { mkdir, readdir } from 'node:fs/promises'
import path from 'node:path'
import { status } from '@grpc/grpc-js'
import { DmThinError } from 'dm-thin'
import { LayerStore, type Labels, type OpenStoreOptions } from 'dm-thin/store'
import { Refused } from './refused.mjs'

const POOL = 'containerd.io/snapshot/dm-thin/pool'
/** In the label: the pool of `--root` itself. */
const MAIN = 'default'

export interface PoolDevices {
  readonly data?: string
  readonly metadata?: string
}

export class Pools {
  readonly #byName: ReadonlyMap<string, LayerStore>
  readonly #turns = new Map<string, Promise<unknown>>()

  private constructor(byName: ReadonlyMap<string, LayerStore>) {
    this.#byName = byName
  }

  /** Opens the store of `options`, those named, and those that earlier starts made beside it. */
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

  /** The store that has a layer; where none has it, one that says so. */
  async having(key: string): Promise<LayerStore> {
    const [main, ...others] = this.all
    for (const store of others) if (await has(store, key)) return store
    return main!
  }

  /** Makes a layer: in the pool of its parent, or in that of its label. No two pools have layers of one key. */
  async make<T>(key: string, parent: string, labels: Labels, body: (store: LayerStore) => Promise<T>): Promise<T> {
    const store = parent === '' ? this.#labelled(labels) : await this.having(parent)
    return this.named(key, store, body)
  }

  /** A layer of `store` gets the name `key`, when no other has it. */
  async named<T>(key: string, store: LayerStore, body: (store: LayerStore) => Promise<T>): Promise<T> {
    if (this.#byName.size === 1) return body(store)
    return this.#inTurn(key, async () => {
      for (const other of this.all) {
        if (other !== store && (await has(other, key)))
          throw new Refused(status.ALREADY_EXISTS, `another pool has a layer ${JSON.stringify(key)}`)
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
    throw new Refused(status.INVALID_ARGUMENT, `label ${POOL} is ${JSON.stringify(name)}: there is ${known}`)
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

/** `NAME` or `NAME=DATA,METADATA`; undefined where it is neither. */
export function parsePool(text: string): [string, PoolDevices] | undefined {
  const [, name, data, metadata] = /^([A-Za-z0-9][A-Za-z0-9_-]{0,31})(?:=([^,]+),([^,]+))?$/.exec(text) ?? []
  if (name === undefined || name === MAIN) return undefined
  return [name, data !== undefined && metadata !== undefined ? { data, metadata } : {}]
}
