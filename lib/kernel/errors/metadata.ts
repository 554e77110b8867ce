// Classification of errors in the metadata of pools.
import { ERRNO } from '../../base/errors.js'
import type { NativeFailure, Classification } from './native-failure.js'

/** Returns the classification; undefined if operation and errno have no special meaning. */
export function classifyMetadata({ operation, errno, detail }: NativeFailure): Classification | undefined {
  if (operation !== 'metadata' || errno !== ERRNO.EUCLEAN) return undefined
  const [, block, fault] = /^(\d+) (.*)$/s.exec(detail)!
  return { code: 'DM_METADATA_CORRUPT', message: `Metadata block ${block}: ${fault}`, block: Number(block) }
}
