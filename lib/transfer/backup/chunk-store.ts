// The place in which backups are kept, as users can implement it for an object store.

/** The manifests of a chunk store: one for each backup. Errors of the store reject the calls that use it. */
export interface ManifestStore {
  /**
   * Stores a manifest under a name, whole or not at all. Resolves to true when it is durable, and all chunks that were stored
   * before too; to false, without a change, if there is a manifest of this name. Rejects with an error of the store.
   */
  put(name: string, content: Uint8Array): Promise<boolean>
  /** Returns a manifest; undefined if there is none of this name. Rejects with an error of the store. */
  get(name: string): Promise<Uint8Array | undefined>
  /** Deletes a manifest. Does nothing if there is none of this name. Rejects with an error of the store. */
  delete(name: string): Promise<void>
  /** Returns the names of all manifests, in any order. */
  list(): AsyncIterable<string>
}

/**
 * A store of chunks of bytes, which are named by the SHA-256 of their content in hexadecimal digits, and of manifests, which
 * name chunks. A chunk is never changed.
 */
export interface ChunkStore {
  /** Returns true if there is a chunk of this digest, whole. Rejects with an error of the store. */
  has(digest: string): Promise<boolean>
  /** Stores a chunk, whole or not at all. Does nothing if it is there. Rejects with an error of the store. */
  put(digest: string, content: Uint8Array): Promise<void>
  /**
   * Returns a chunk; undefined if there is none of this digest. The caller verifies the content. Rejects with an error of the
   * store.
   */
  get(digest: string): Promise<Uint8Array | undefined>
  /** Deletes a chunk. Does nothing if there is none of this digest. Rejects with an error of the store. */
  delete(digest: string): Promise<void>
  /** Returns the digests of all chunks, in any order. */
  digests(): AsyncIterable<string>
  /** The manifests of the backups in the store. */
  readonly manifests: ManifestStore
  /**
   * Takes the lock of the store, and returns the function that releases it. Any number of callers may have it `shared` while
   * none has it `exclusive`. Waits for it. The lock of a process that ends must be released. Rejects with `ABORT_ERR`, or an
   * error of the store.
   */
  lock(mode: 'shared' | 'exclusive', signal?: AbortSignal): Promise<() => Promise<void>>
}
