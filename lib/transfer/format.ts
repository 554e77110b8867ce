// The format of a stream: docs/transfer-format.md.
import { webcrypto } from 'node:crypto'
import { DmThinError } from '../base/errors.js'
import { count, list, object, text, wholeSectors, type JsonObject } from '../base/json-fields.js'
import { SECTOR_BYTES } from '../base/units.js'
import type { FrozenState } from '../pool/state/record.js'

const MAGIC = Buffer.from('DMTHINTR')
const VERSION = 1
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
  | 'pool-start'
  | 'needs-check'
  | 'written-since-snapshot'
  | 'shrunk'

export function invalidTransfer(fault: TransferFault, text: string, cause?: unknown): DmThinError {
  return new DmThinError('DM_TRANSFER_INVALID', text, { detail: fault, cause })
}

/** The state from which an incremental stream leads. */
export interface BaseState extends Omit<FrozenState, 'start'> {
  /** The starts of the pool since which nothing was lost, the oldest first: the state is the same in each. */
  readonly starts: readonly string[]
}

/** The facts about a stream, at its start. */
export interface StreamHeader {
  /** The name of the pool that has sent it. */
  readonly pool: string
  readonly sizeBytes: number
  readonly dataBlockBytes: number
  /** The state to which the stream leads. */
  readonly target: FrozenState
  /** The state from which it leads; undefined for a full stream. */
  readonly base?: BaseState | undefined
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

/** Returns the SHA-256, computed on a thread of Node. */
export const digestOf = async (content: Uint8Array): Promise<Uint8Array> =>
  new Uint8Array(await webcrypto.subtle.digest('SHA-256', content))

/** Returns the bytes at the start of a stream. */
export function formatHeader(header: StreamHeader): Buffer {
  const text = Buffer.from(JSON.stringify(header))
  const prefix = Buffer.alloc(PREFIX_BYTES)
  MAGIC.copy(prefix)
  prefix.writeUInt32LE(VERSION, 8)
  prefix.writeUInt32LE(text.length, 12)
  return Buffer.concat([prefix, text])
}

/** Returns the length of the header behind a prefix. Throws `DM_TRANSFER_INVALID`. */
export function headerLength(prefix: Buffer): number {
  if (!prefix.subarray(0, MAGIC.length).equals(MAGIC))
    throw invalidTransfer('damaged', 'it is not a stream of a volume')
  const version = prefix.readUInt32LE(8)
  if (version !== VERSION) {
    throw invalidTransfer('version', `the stream has version ${version}; this library reads ${VERSION}`)
  }
  const length = prefix.readUInt32LE(12)
  if (length > MAX_HEADER_BYTES) throw invalidTransfer('damaged', `the header of the stream has ${length} bytes`)
  return length
}

/** Parses a header. Throws `DM_TRANSFER_INVALID`. */
export function parseHeader(bytes: Buffer): StreamHeader {
  try {
    const value = object(JSON.parse(bytes.toString()))
    const base = value['base'] === undefined ? undefined : object(value['base'])
    return {
      pool: text(value['pool']),
      sizeBytes: wholeSectors(value['sizeBytes']),
      dataBlockBytes: wholeSectors(value['dataBlockBytes']),
      target: { start: text(object(value['target'])['start']), ...identity(object(value['target'])) },
      ...(base && { base: { starts: list(base['starts']).map(text), ...identity(base) } }),
    }
  } catch (cause) {
    throw invalidTransfer('damaged', 'the header of the stream cannot be parsed', cause)
  }
}

const identity = (state: JsonObject) => ({
  volume: count(state['volume']),
  time: count(state['time']),
  mappedBlocks: count(state['mappedBlocks']),
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
