// Who has which blocks.
import { signalOption } from '../../base/options.js'
import type { StoreParts } from '../engine/parts.js'
import type { LayerKind } from '../common/types.js'

/** The space that one layer takes in the pool. */
export interface LayerSpace {
  readonly key: string
  readonly parent: string
  readonly kind: LayerKind
  /** Blocks that only this layer has, in bytes: what its removal gives back. */
  readonly exclusiveBytes: number
  /** Blocks that another layer has too, in bytes. */
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
