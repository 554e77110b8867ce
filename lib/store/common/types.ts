// What callers of a layer store give and get. The words are those of containerd's snapshotters.

/** `active`: writable, of a container. `view`: read-only. `committed`: a layer; others can have it as parent. */
export type LayerKind = 'active' | 'view' | 'committed'

/** A file system that layers can have. */
export type LayerFileSystem = 'ext4' | 'xfs'

/** Labels of a layer: texts by name. */
export type Labels = Readonly<Record<string, string>>

/** The record of a layer. */
export interface LayerInfo {
  /** The key of an active layer or a view, the name of a committed one. */
  readonly key: string
  /** The name of the committed layer below; `''` for a layer without a parent. */
  readonly parent: string
  readonly kind: LayerKind
  /** Nanoseconds since 1970: of `prepare` or `view`, or of the commit. */
  readonly createdAt: bigint
  /** Nanoseconds since 1970: of the last change of its labels or kind. */
  readonly updatedAt: bigint
  readonly labels: Labels
  /** Size of its file system in bytes. */
  readonly sizeBytes: number
  readonly fileSystem: LayerFileSystem
  /** The host never mounts it: see `PrepareOptions.raw`. */
  readonly raw: boolean
}

/** What mount(2) needs: containerd's form. */
export interface LayerMount {
  readonly type: LayerFileSystem
  /** `/dev/dm-N`. */
  readonly source: string
  /** `ro` for a view, `nouuid` for xfs. */
  readonly options: readonly string[]
}

/** What a layer has of its own: what its parent has is not counted. */
export interface LayerUsage {
  readonly bytes: number
  readonly inodes: number
}
