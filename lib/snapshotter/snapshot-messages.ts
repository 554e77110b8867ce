// The messages of snapshots.proto in the form of the loader, and the conversion of a store's results to them.
import type { Labels, LayerInfo, LayerKind, LayerMount, LayerUsage } from '../store/common/layer-types.js'

export interface NewRequest {
  key: string
  parent: string
  labels: Labels
}

export interface KeyRequest {
  key: string
}

export interface CommitRequest {
  name: string
  key: string
  labels: Labels
}

export interface UpdateRequest {
  info: Info | null
  update_mask: { paths: string[] } | null
}

export interface ListRequest {
  filters: string[]
}

interface Timestamp {
  seconds: string
  nanos: number
}

export interface Info {
  name: string
  parent: string
  kind: number
  created_at: Timestamp | null
  updated_at: Timestamp | null
  labels: Labels
}

interface MountsResponse {
  mounts: { type: string; source: string; target: string; options: string[] }[]
}

const KIND: Readonly<Record<LayerKind, number>> = { view: 1, active: 2, committed: 3 }
const SECOND = 1_000_000_000n

const timestampOf = (nanoseconds: bigint): Timestamp => ({
  seconds: String(nanoseconds / SECOND),
  nanos: Number(nanoseconds % SECOND),
})

export const infoOf = (layer: LayerInfo): Info => ({
  name: layer.key,
  parent: layer.parent,
  kind: KIND[layer.kind],
  created_at: timestampOf(layer.createdAt),
  updated_at: timestampOf(layer.updatedAt),
  labels: layer.labels,
})

export const mountsOf = (mounts: readonly LayerMount[]): MountsResponse => ({
  mounts: mounts.map(({ type, source, options }) => ({ type, source, target: '', options: [...options] })),
})

export const usageOf = ({ bytes, inodes }: LayerUsage) => ({ size: String(bytes), inodes: String(inodes) })
