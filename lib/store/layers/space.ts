// The space of each layer: exclusive and shared blocks.
import { signalOption } from '../../base/options.js'
import type { StoreParts } from '../engine/parts.js'
import type { LayerKind } from '../common/types.js'

/** The space that one layer takes in the pool. */
export interface LayerSpace {
  /** The key of an active layer or a view, or the name of a committed layer. */
  readonly key: string
  /** The name of the parent; `''` for a layer without a parent. */
  readonly parent: string
  /** The kind: active layer, view or committed layer. */
  readonly kind: LayerKind
  /** The exclusive blocks of the layer, in bytes. Its removal frees them. */
  readonly exclusiveBytes: number
  /** The blocks that the layer shares with other volumes, in bytes. */
  readonly sharedBytes: number
}

export async function spaceOf(
  { pool, records }: Pick<StoreParts, 'pool' | 'records'>,
  signal?: AbortSignal,
): Promise<LayerSpace[]> {
  const usage = new Map((await pool.usage(signalOption(signal))).map(each => [each.id, each]))
  return records
    .all()
    .filter(row => row.key !== null && row.state !== 'making')
    .map(row => {
      const { exclusiveBlocks = 0, sharedBlocks = 0 } = usage.get(row.thin) ?? {}
      const bytes = pool.dataBlockBytes
      const { parentKey: parent, kind } = row
      return {
        key: row.key!,
        parent,
        kind: kind as LayerKind,
        exclusiveBytes: exclusiveBlocks * bytes,
        sharedBytes: sharedBlocks * bytes,
      }
    })
}
