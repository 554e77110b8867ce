// One record of the store: a thin volume, and what it is to callers.
import type { Labels, LayerFileSystem, LayerInfo, LayerKind } from '../common/types.js'

/**
 * `making`, `committing`: its owner is in the middle of a call. `removing`: gone for callers, and the volume goes in the
 * background. `retired`: its thin id is in doubt, and is left alone until a person acts.
 */
export type RowState = 'making' | 'ready' | 'committing' | 'removing' | 'retired'

export interface Row {
  readonly id: number
  /** Null for a base, and for what is being removed. */
  readonly key: string | null
  /** `base`: an empty file system that root layers are snapshots of. */
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
  /** Of a committed layer and a base: what was mapped when it was made so. */
  readonly mappedBytes: number | null
  readonly labels: Labels
  /** What is on it nobody of the host looks into: it is not mounted. */
  readonly raw: boolean
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
  /** Default false. */
  readonly raw?: boolean
}

export interface RowChange {
  readonly key?: string | null
  readonly kind?: Row['kind']
  readonly state?: RowState
  readonly owner?: string | null
  readonly thin?: number
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
