// Digests of images. SHA-256 is the only algorithm that is accepted.
import { createHash } from 'node:crypto'
import { Sha256 } from '../../kernel/sha256.js'

export const isDigest = (value: unknown): value is string =>
  typeof value === 'string' && /^sha256:[0-9a-f]{64}$/.test(value)

export const digestOf = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

/**
 * Passes bytes through, and computes their digest beside that; a native call may read the bytes until the end. Calls `done`
 * with the digest and the number of bytes at the end.
 */
export async function* digested(
  source: AsyncIterable<Uint8Array>,
  done: (digest: string, size: number) => void,
  hash = new Sha256(),
): AsyncGenerator<Uint8Array> {
  let size = 0
  try {
    for await (const chunk of source) {
      size += chunk.length
      const room = hash.add(chunk)
      if (room) await room
      yield chunk
    }
    done(`sha256:${await hash.hex()}`, size)
  } finally {
    await hash.close()
  }
}
