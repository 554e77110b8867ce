// The digest of a chunk, in streams.
import { webcrypto } from 'node:crypto'
import { nativePort } from '../kernel/native-port.js'

/** Returns the SHA-256, computed on another thread: of this library, or of Node, which copies the content. */
export const digestOf = async (content: Uint8Array): Promise<Uint8Array> =>
  (await nativePort().sha256(content)) ?? new Uint8Array(await webcrypto.subtle.digest('SHA-256', content))
