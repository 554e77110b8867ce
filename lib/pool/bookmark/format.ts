// The format of a bookmark file: docs/bookmarks.md.
import { DmThinError } from '../../base/errors.js'
import { count, object, text } from '../../base/json-fields.js'

export const MAGIC = Buffer.from('DMTHINBM')
export const VERSION = 1
/** The magic, the version and the length of the header. */
export const PREFIX_BYTES = 16
/** The limit of the length of the header. */
const MAX_HEADER_BYTES = 4096
/** The SHA-256 of all bytes before it, at the end of the file. */
export const DIGEST_BYTES = 32

/** The reason for which a bookmark cannot be used; `detail` of the error. */
export type BookmarkFault =
  | 'damaged'
  | 'version'
  | 'pool-start'
  | 'block-size'
  | 'metadata-older'
  | 'needs-check'
  | 'clock-limit'
  | 'written-since-snapshot'

export function invalidBookmark(fault: BookmarkFault, path: string, text: string, cause?: unknown): DmThinError {
  return new DmThinError('DM_BOOKMARK_INVALID', `bookmark ${path}: ${text}`, { device: path, detail: fault, cause })
}

/** The origin of a bookmark: pool, volume and state. */
export interface BookmarkHeader {
  /** The name of the pool. */
  readonly pool: string
  /** The uuid of the pool's mapped device, which is new at each start of the pool. */
  readonly start: string
  /** The id of the volume whose mappings were saved. */
  readonly volume: number
  /** The pool's snapshot clock when the volume was created. */
  readonly creationTime: number
  /** The number of mapped blocks of the volume. */
  readonly mappedBlocks: number
  /** The pool's snapshot clock when the mappings were saved. */
  readonly time: number
  /** The snapshot clock at the last snapshot of the volume, or as which it was created. Each mapping is older. */
  readonly snapshottedTime: number
  /** The pool's transaction id, in decimal. */
  readonly transactionId: string
  /** The pool's data block size in bytes. */
  readonly dataBlockBytes: number
}

/** Returns the bytes at the start of a file. */
export function formatHeader(header: BookmarkHeader): Buffer {
  const text = Buffer.from(JSON.stringify(header))
  const prefix = Buffer.alloc(PREFIX_BYTES)
  MAGIC.copy(prefix)
  prefix.writeUInt32LE(VERSION, 8)
  prefix.writeUInt32LE(text.length, 12)
  return Buffer.concat([prefix, text])
}

/** Returns the length of the header behind a prefix. Throws `DM_BOOKMARK_INVALID`. */
export function headerLength(prefix: Buffer, path: string): number {
  if (prefix.length < PREFIX_BYTES || !prefix.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw invalidBookmark('damaged', path, 'it is not a bookmark')
  }
  const version = prefix.readUInt32LE(8)
  if (version !== VERSION) {
    throw invalidBookmark('version', path, `it has version ${version} of the format; this library reads ${VERSION}`)
  }
  const length = prefix.readUInt32LE(12)
  if (length > MAX_HEADER_BYTES) throw invalidBookmark('damaged', path, `its header has ${length} bytes`)
  return length
}

/** Parses a header. Throws `DM_BOOKMARK_INVALID`. */
export function parseHeader(bytes: Buffer, path: string): BookmarkHeader {
  try {
    const value = object(JSON.parse(bytes.toString()))
    return {
      pool: text(value['pool']),
      start: text(value['start']),
      volume: count(value['volume']),
      creationTime: count(value['creationTime']),
      mappedBlocks: count(value['mappedBlocks']),
      time: count(value['time']),
      snapshottedTime: count(value['snapshottedTime']),
      transactionId: text(value['transactionId']),
      dataBlockBytes: count(value['dataBlockBytes']),
    }
  } catch (cause) {
    throw invalidBookmark('damaged', path, 'its header cannot be parsed', cause)
  }
}
