// SHA-256 on native threads, by the OpenSSL that Node exports.
import type { Handle, HandlePort } from './handle.js'

export interface DigestPort extends HandlePort {
  /** Begins a digest; `release` ends it. Returns null if the process has no OpenSSL to compute it with. */
  digestOpen(): Handle | null
  /** Adds bytes. One call at a time for each handle. The chunks may not be changed or detached until it settles. */
  digestUpdate(digest: Handle, chunks: readonly Uint8Array[]): Promise<void>
  /** Returns the digest of everything that was added. No update may be in progress. Nothing can be added afterwards. */
  digestFinish(digest: Handle): Promise<Buffer>
  /** Returns the digest of `memory`, which may not be changed until then; null as `digestOpen` does. */
  sha256(memory: Uint8Array, signal?: AbortSignal): Promise<Uint8Array | null>
}
