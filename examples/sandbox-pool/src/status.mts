// What is going on, in numbers that JSON can hold.
import { DmThinError } from 'dm-thin'
import type { LayerStore } from 'dm-thin/store'
import type { Sandbox } from './sandboxes.mjs'

export interface Space {
  readonly usedBytes: number
  readonly totalBytes: number
}

export interface LayerStatus {
  readonly key: string
  readonly parent: string
  readonly kind: string
  readonly sizeBytes: number
  /** What it has that its parent has not. */
  readonly ownBytes: number
}

export interface PoolAndLayers {
  readonly pool: {
    readonly name: string
    readonly mode: string
    /** Null where the pool has failed. */
    readonly data: Space | null
    readonly metadata: Space | null
  }
  readonly layers: readonly LayerStatus[]
}

export interface Status extends PoolAndLayers {
  readonly sandboxes: readonly Sandbox[]
  readonly max: number
  /** How many are kept ready. */
  readonly warm: number
}

export async function statusOf(store: LayerStore): Promise<PoolAndLayers> {
  const { mode, data, metadata } = (await store.status()).pool
  const layers: Promise<LayerStatus | undefined>[] = []
  for await (const { key, parent, kind, sizeBytes } of store.walk()) {
    layers.push(
      store.usage(key).then(
        ({ bytes }) => ({ key, parent, kind, sizeBytes, ownBytes: bytes }),
        (fault: unknown) => {
          if (fault instanceof DmThinError && fault.code === 'DM_LAYER_NOT_FOUND') return undefined // gone meanwhile
          throw fault
        },
      ),
    )
  }
  const known = (await Promise.all(layers)).filter(layer => layer !== undefined)
  return { pool: { name: store.poolName, mode, data: spaceOf(data), metadata: spaceOf(metadata) }, layers: known }
}

const spaceOf = (space: Space | undefined): Space | null =>
  space ? { usedBytes: space.usedBytes, totalBytes: space.totalBytes } : null
