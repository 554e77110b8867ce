// A chunk store in memory, as a user may implement one for an object store.
import type { ChunkStore, ManifestStore } from '../../../lib/entry/transfer.js'
import { FairLocks } from '../../../lib/base/fair-locks.js'

export class MemoryChunks implements ChunkStore {
  readonly chunks = new Map<string, Uint8Array>()
  readonly named = new Map<string, Uint8Array>()
  readonly #locks = new FairLocks()

  has = (digest: string) => Promise.resolve(this.chunks.has(digest))
  get = (digest: string) => Promise.resolve(this.chunks.get(digest))
  delete = (digest: string) => Promise.resolve(void this.chunks.delete(digest))
  put(digest: string, content: Uint8Array): Promise<void> {
    this.chunks.set(digest, Buffer.from(content))
    return Promise.resolve()
  }
  async *digests(): AsyncGenerator<string> {
    yield* [...this.chunks.keys()]
  }
  readonly manifests: ManifestStore = {
    put: (name, content) => Promise.resolve(!this.named.has(name) && this.named.set(name, content) !== undefined),
    get: name => Promise.resolve(this.named.get(name)),
    delete: name => Promise.resolve(void this.named.delete(name)),
    list: () => this.#names(),
  }
  async lock(mode: 'shared' | 'exclusive', signal?: AbortSignal): Promise<() => Promise<void>> {
    const release = await this.#locks.take('chunks', mode, signal)
    return () => Promise.resolve(release())
  }

  async *#names(): AsyncGenerator<string> {
    yield* [...this.named.keys()]
  }
}
