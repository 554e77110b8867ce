// The space of layers: exclusive and shared blocks of all, and what one has added to its parent.
import { DmThinError } from '../../base/errors.js'
import { signalOption } from '../../base/options.js'
import type { StoreParts } from '../engine/parts.js'
import type { LayerKind, LayerUsage } from '../common/layer-types.js'
import { readyRow, visible } from '../records/layer-lookup.js'

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

/**
 * Returns the mapped blocks of a layer minus those of its parent. Activates no volume and takes no lease: the record is read
 * a second time, because another process may remove the layer during the call.
 */
export async function layerUsage(
  { pool, records, volumes }: Pick<StoreParts, 'pool' | 'records' | 'volumes'>,
  key: string,
  signal?: AbortSignal,
): Promise<LayerUsage> {
  for (;;) {
    const { mappedBytes: atCommit, parentId } = visible(records, key)
    const below = (parentId !== null && records.byId(parentId)?.mappedBytes) || 0
    if (atCommit !== null) return usage(atCommit, below)
    const row = readyRow(records, key)
    const mapped = await volumes.mappedBytesOf(row, signal)
    const { id, thin } = readyRow(records, key)
    if (id !== row.id || thin !== row.thin) continue
    if (mapped !== undefined) return usage(mapped, below)
    const text = `layer ${JSON.stringify(key)}: pool ${pool.name} has no volume ${thin}`
    throw new DmThinError('DM_VOLUME_NOT_FOUND', text, { device: pool.name })
  }
}

const usage = (mapped: number, below: number): LayerUsage => ({ bytes: Math.max(0, mapped - below), inodes: 0 })
