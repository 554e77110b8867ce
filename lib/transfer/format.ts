// The format of a stream: docs/transfer.md.
import { DmThinError } from '../base/errors.js'
import { count, object, text, wholeSectors, type JsonObject } from '../base/json-fields.js'
import { SECTOR_BYTES } from '../base/units.js'
import { statesIn, type SentStates } from '../pool/state/sent-states.js'

const MAGIC = Buffer.from('DMTHINTR')
/**
 * The versions that are written and read: of a stream from the start of a volume, and of one that continues an interrupted
 * one. A reader that cannot continue rejects it.
 */
export const [VERSION, RESUMED_VERSION] = [1, 2]
/** The magic, the version and the length of the header. */
export const PREFIX_BYTES = 16
const MAX_HEADER_BYTES = 16 * 1024
/** The limit of one chunk, and so of what a reader has to hold of it. */
export const MAX_CHUNK_BYTES = 2 ** 20
/** Type, offset, length and digest of a record. */
export const RECORD_BYTES = 56
const DIGEST_BYTES = 32

/** The reason for which a volume cannot be sent or received; `detail` of the error. */
export type TransferFault =
  | 'damaged'
  | 'truncated'
  | 'version'
  | 'source'
  | 'block-size'
  | 'base'
  | 'base-modified'
  | 'resume'
  | 'resume-modified'
  | 'backup'
  | 'backup-exists'
  | 'chunk-missing'
  | 'pool-start'
  | 'needs-check'
  | 'written-since-snapshot'
  | 'shrunk'

export function invalidTransfer(fault: TransferFault, text: string, cause?: unknown): DmThinError {
  return new DmThinError('DM_TRANSFER_INVALID', text, { detail: fault, cause })
}

/** The facts about a stream, at its start. */
export interface StreamHeader extends SentStates {
  /** The name of the pool that has sent it. */
  readonly pool: string
  readonly sizeBytes: number
  readonly dataBlockBytes: number
  /** For a stream that continues another one of the same states. */
  readonly resume?: ResumePoint | undefined
}

/** The place at which a stream continues. */
export interface ResumePoint {
  /** The offset in the volume before which the receiver has everything. */
  readonly offset: number
  /** The thin id of the volume into which the receiver writes. */
  readonly volume: number
}

/** `chunk`: content follows. `hole`: a range that is unmapped since the base. `end`: the last record. */
export interface StreamRecord {
  readonly type: 'chunk' | 'hole' | 'end'
  /** The offset in the volume in bytes; of `end`, the number of records before it. */
  readonly offset: number
  /** The length in bytes; of `end`, the number of bytes of all chunks. */
  readonly length: number
  /** SHA-256 of the content of a chunk, zeros for a hole; of `end`, of everything before it but the contents. */
  readonly digest: Uint8Array
}

const TYPES = [undefined, 'chunk', 'hole', 'end'] as const
export const NO_DIGEST = new Uint8Array(DIGEST_BYTES)

/** Returns the bytes at the start of a stream. */
export function formatHeader(header: StreamHeader): Buffer {
  const text = Buffer.from(JSON.stringify(header))
  const prefix = Buffer.alloc(PREFIX_BYTES)
  MAGIC.copy(prefix)
  prefix.writeUInt32LE(header.resume ? RESUMED_VERSION : VERSION, 8)
  prefix.writeUInt32LE(text.length, 12)
  return Buffer.concat([prefix, text])
}

/** Returns the length of the header behind a prefix. Throws `DM_TRANSFER_INVALID`. */
export function headerLength(prefix: Buffer): number {
  if (!prefix.subarray(0, MAGIC.length).equals(MAGIC))
    throw invalidTransfer('damaged', 'it is not a stream of a volume')
  const version = prefix.readUInt32LE(8)
  if (version !== VERSION && version !== RESUMED_VERSION) {
    throw invalidTransfer('version', `the stream has version ${version}; this library reads 1 and 2`)
  }
  const length = prefix.readUInt32LE(12)
  if (length > MAX_HEADER_BYTES) throw invalidTransfer('damaged', `the header of the stream has ${length} bytes`)
  return length
}

/** Parses the header behind a prefix. Throws `DM_TRANSFER_INVALID`. */
export function parseHeader(prefix: Buffer, bytes: Buffer): StreamHeader {
  const header = parsed('the header of the stream', bytes, headerIn)
  const version = header.resume ? RESUMED_VERSION : VERSION
  if (prefix.readUInt32LE(8) === version) return header
  throw invalidTransfer('damaged', `the header of the stream is not one of version ${prefix.readUInt32LE(8)}`)
}

/** Parses JSON. Throws `DM_TRANSFER_INVALID` if it is not valid, or if `body` does not accept it. */
export function parsed<T>(what: string, bytes: Uint8Array, body: (value: JsonObject) => T): T {
  try {
    return body(object(JSON.parse(Buffer.from(bytes).toString())))
  } catch (cause) {
    if (cause instanceof DmThinError) throw cause
    throw invalidTransfer('damaged', `${what} cannot be parsed`, cause)
  }
}

const headerIn = (value: JsonObject): StreamHeader => ({
  pool: text(value['pool']),
  sizeBytes: wholeSectors(value['sizeBytes']),
  dataBlockBytes: wholeSectors(value['dataBlockBytes']),
  ...statesIn(value),
  ...(value['resume'] === undefined ? {} : { resume: resumePointIn(object(value['resume'])) }),
})

/** Returns the place at which a stream continues. Throws TypeError. */
export const resumePointIn = (value: JsonObject): ResumePoint => ({
  offset: count(value['offset']),
  volume: count(value['volume']),
})

export function formatRecord({ type, offset, length, digest }: StreamRecord): Buffer {
  const bytes = Buffer.alloc(RECORD_BYTES)
  bytes.writeUInt32LE(TYPES.indexOf(type), 0)
  bytes.writeBigUInt64LE(BigInt(offset), 8)
  bytes.writeBigUInt64LE(BigInt(length), 16)
  bytes.set(digest, 24)
  return bytes
}

/**
 * Parses a record, and checks it against the header and the end of the range before it. Throws `DM_TRANSFER_INVALID`.
 */
export function parseRecord(bytes: Buffer, { sizeBytes, base }: StreamHeader, before: number): StreamRecord {
  const type = TYPES[bytes.readUInt32LE(0)]
  const offset = Number(bytes.readBigUInt64LE(8))
  const length = Number(bytes.readBigUInt64LE(16))
  if (!type || bytes.readUInt32LE(4) !== 0) throw invalidTransfer('damaged', 'the stream has a record of no known type')
  const record = { type, offset, length, digest: bytes.subarray(24, RECORD_BYTES) }
  if (type === 'end') return record
  const isInside = offset >= before && length > 0 && offset + length <= sizeBytes
  const isWhole = offset % SECTOR_BYTES === 0 && length % SECTOR_BYTES === 0
  const isAllowed = type === 'chunk' ? length <= MAX_CHUNK_BYTES : base !== undefined
  if (!isInside || !isWhole || !isAllowed) {
    throw invalidTransfer('damaged', `the stream has a ${type} of ${length} bytes at ${offset} of ${sizeBytes}`)
  }
  return record
}
