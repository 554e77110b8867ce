// The offline check of Kubernetes' snapshot-metadata-verifier: the entries of a target are copied onto the content of the base,
// and the result must be the content of the target.
import { readFileSync } from 'node:fs'
import type { ThinVolume } from '../../../lib/entry/index.js'
import { onDevice } from '../transfer/volumes.js'
import type { Entry } from './client.js'

/** Reads the whole device of an inactive volume. */
export const contentOf = (volume: ThinVolume): Promise<Buffer> => onDevice(volume, path => readFileSync(path))

/** Returns the content of a base, or zeros, with the entries of a target copied onto it. */
export function rebuilt(base: Buffer | undefined, target: Buffer, entries: readonly Entry[]): Buffer {
  const result = Buffer.alloc(target.length)
  base?.copy(result)
  for (const { byte_offset, size_bytes } of entries) {
    target.copy(result, byte_offset, byte_offset, byte_offset + size_bytes)
  }
  return result
}
