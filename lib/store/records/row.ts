// The record of a layer: a row of the database, with its thin volume.
import type { Labels, LayerFileSystem, LayerInfo, LayerKind } from '../common/layer-types.js'

/**
 * The state of a row. `making`, `committing`: a call of its owner is in progress. `removing`: callers do not find the layer,
 * and its volume is deleted in the background. `retired`: the thin id is reserved until an operator intervenes.
 */
export type RowState = 'making' | 'ready' | 'committing' | 'removing' | 'retired'

export interface Row {
  readonly id: number
  /** The key; null for a base volume, and for a layer that is being removed. */
  readonly key: string | null
  /** The kind; `base`: an empty file system, of which layers without a parent are snapshots. */
  readonly kind: LayerKind | 'base'
  readonly state: RowState
  readonly owner: string | null
  readonly parentId: number | null
  readonly parentKey: string
  readonly thin: number
  readonly sizeBytes: number
  readonly fileSystem: LayerFileSystem
  readonly createdAt: bigint
  readonly updatedAt: bigint
  /** The mapped blocks of a committed layer or base volume at the time of its commit, in bytes; null for others. */
  readonly mappedBytes: number | null
  readonly labels: Labels
  /** True if the content is untrusted input that the host does not mount. */
  readonly raw: boolean
  /** The id of the row of the layer that is being reset, if this volume has its new content. Null otherwise. */
  readonly resets: number | null
}

export interface RowInsert {
  readonly key: string | null
  readonly kind: Row['kind']
  readonly state: RowState
  readonly owner: string | null
  readonly parent: number | null
  readonly sizeBytes: number
  readonly fileSystem: LayerFileSystem
  readonly at: bigint
  readonly labels: Labels
  /** True if the layer is raw. Default false. */
  readonly raw?: boolean
  /** As in `Row`. Default null. */
  readonly resets?: number
  /** A value that the pool's snapshot clock had reached when the pool had the volume. Default: unknown. */
  readonly snapshotTime?: number | undefined
}

export interface RowChange {
  readonly key?: string | null
  readonly kind?: Row['kind']
  readonly state?: RowState
  readonly owner?: string | null
  readonly parentId?: number | null
  readonly thin?: number
  readonly sizeBytes?: number
  readonly createdAt?: bigint
  readonly updatedAt?: bigint
  readonly mappedBytes?: number
  readonly labels?: Labels
}

export const infoOf = (row: Row): LayerInfo => ({
  key: row.key ?? '',
  parent: row.parentKey,
  kind: row.kind as LayerKind,
  createdAt: row.createdAt,
  updatedAt: row.updatedAt,
  labels: row.labels,
  sizeBytes: row.sizeBytes,
  fileSystem: row.fileSystem,
  raw: row.raw,
})
