// Public types of the layer store, in the terms of containerd's snapshotters.

/**
 * The kind of a layer. `active`: a writable layer, for a container. `view`: a read-only snapshot of a committed layer.
 * `committed`: a layer that other layers can have as parent.
 */
export type LayerKind = 'active' | 'view' | 'committed'

/** A file system that layers can have: `ext4` or `xfs`. */
export type LayerFileSystem = 'ext4' | 'xfs'

/** The labels of a layer: strings by name. */
export type Labels = Readonly<Record<string, string>>

/** The record of a layer. */
export interface LayerInfo {
  /** The key of an active layer or a view, or the name of a committed layer. */
  readonly key: string
  /** The name of the parent; `''` for a layer without a parent. */
  readonly parent: string
  /** The kind: active layer, view or committed layer. */
  readonly kind: LayerKind
  /** The time of `prepare` or `view`, or of the commit, in nanoseconds since 1970. */
  readonly createdAt: bigint
  /** The time of the last change of the labels or kind, in nanoseconds since 1970. */
  readonly updatedAt: bigint
  /** The labels, as `prepare`, `commit` or `update` set them last. */
  readonly labels: Labels
  /** The size of the file system in bytes. */
  readonly sizeBytes: number
  /** The type of the layer's file system, which is that of all its ancestors. */
  readonly fileSystem: LayerFileSystem
  /** True if the layer is raw, so that the host never mounts it: see `PrepareOptions.raw`. */
  readonly raw: boolean
}

/** The arguments of mount(2), in the form of containerd. */
export interface LayerMount {
  /** The type of the file system, the third argument of mount(2). */
  readonly type: LayerFileSystem
  /** The path of the block device, `/dev/dm-N`. */
  readonly source: string
  /** The mount options: `ro` for a view, `nouuid` for xfs. */
  readonly options: readonly string[]
}

/** The space that a layer added to its parent. */
export interface LayerUsage {
  /** The mapped blocks of the layer minus those of its parent, in bytes. */
  readonly bytes: number
  /** Always 0, because a block device has no file count. */
  readonly inodes: number
}
