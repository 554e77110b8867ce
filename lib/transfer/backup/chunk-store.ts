// The place in which backups are kept, as users can implement it for an object store.

/** The manifests of a chunk store: one for each backup. */
export interface ManifestStore {
  /**
   * Stores a manifest under a name, whole or not at all. Resolves to true when it is durable, and all chunks that were stored
   * before too; to false, without a change, if there is a manifest of this name.
   */
  put(name: string, content: Uint8Array): Promise<boolean>
  /** Returns a manifest; undefined if there is none of this name. */
  get(name: string): Promise<Uint8Array | undefined>
  /** Deletes a manifest. Does nothing if there is none of this name. */
  delete(name: string): Promise<void>
  /** Returns the names of all manifests, in any order. */
  list(): AsyncIterable<string>
}

/**
 * A store of chunks of bytes, which are named by the SHA-256 of their content in hexadecimal digits, and of manifests, which
 * name chunks. A chunk is never changed.
 */
export interface ChunkStore {
  /** Returns true if there is a chunk of this digest, whole. */
  has(digest: string): Promise<boolean>
  /** Stores a chunk of at most 1 MiB, whole or not at all. Does nothing if it is there. */
  put(digest: string, content: Uint8Array): Promise<void>
  /** Returns a chunk; undefined if there is none of this digest. The caller verifies the content. */
  get(digest: string): Promise<Uint8Array | undefined>
  /** Deletes a chunk. Does nothing if there is none of this digest. */
  delete(digest: string): Promise<void>
  /** Returns the digests of all chunks, in any order. */
  digests(): AsyncIterable<string>
  /** The manifests. */
  readonly manifests: ManifestStore
  /**
   * Takes the lock of the store, and returns the function that releases it. Any number of callers may have it `shared` while
   * none has it `exclusive`. Waits for it. The lock of a process that ends must be released.
   */
  lock(mode: 'shared' | 'exclusive', signal?: AbortSignal): Promise<() => Promise<void>>
}
