import { DmThinError } from '../base/errors.js'

/**
 * Why reading thin metadata failed.
 *
 * - `DM_METADATA_CORRUPT`: a block does not hold what the format says it must, and it stayed so while nothing
 *   was committed. Nothing was returned, because counts from damaged trees would look like real ones.
 * - `DM_METADATA_BUSY`: the pool committed during every attempt to read it.
 */
export type MetadataErrorCode = 'DM_METADATA_CORRUPT' | 'DM_METADATA_BUSY'

/** Failure of a metadata read. Branch on `code`; the message is for people. */
export class MetadataError extends DmThinError {
  constructor(code: MetadataErrorCode, message: string, block?: number) {
    super(code, message, { block })
  }
}

/** The error for damage found in one block: says where and what. */
export function corruptBlock(block: number, what: string): MetadataError {
  return new MetadataError('DM_METADATA_CORRUPT', `Metadata block ${block}: ${what}`, block)
}
