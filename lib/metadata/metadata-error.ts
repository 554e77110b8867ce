// The error of a metadata read.
import { DmThinError } from '../base/errors.js'

/**
 * The reason why reading pool metadata failed.
 *
 * - `DM_METADATA_CORRUPT`: a block violates the format, and it still did while nothing was committed. No result is
 *   returned, because counts from corrupt trees would look valid.
 * - `DM_METADATA_BUSY`: the pool committed during every attempt to read it.
 */
export type MetadataErrorCode = 'DM_METADATA_CORRUPT' | 'DM_METADATA_BUSY'

/** The error of a metadata read. Branch on `code`; the message is for people. */
export class MetadataError extends DmThinError {
  constructor(code: MetadataErrorCode, message: string, block?: number) {
    super(code, message, { block })
  }
}

/** Returns the error for a corrupt block, with its position and the violation. */
export function corruptBlock(block: number, what: string): MetadataError {
  return new MetadataError('DM_METADATA_CORRUPT', `Metadata block ${block}: ${what}`, block)
}
