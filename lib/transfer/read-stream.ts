// Reading a stream: its header, records and end.
import { createHash, type Hash } from 'node:crypto'
import { alignedBuffer } from '../block/block-device.js'
import type { ByteReader } from './byte-reader.js'
import { digestOf } from './chunk-digest.js'
import {
  headerLength,
  invalidTransfer,
  parseHeader,
  parseRecord,
  PREFIX_BYTES,
  RECORD_BYTES,
  type StreamHeader,
} from './format.js'
import type { LoadedRecord } from './write-stream.js'

/** The header of a stream, and the digest of its bytes to go on with. */
export interface Beginning {
  readonly header: StreamHeader
  readonly hash: Hash
}

/** Reads the header of a stream. Rejects with `DM_TRANSFER_INVALID`. */
export async function readHeader(reader: ByteReader): Promise<Beginning> {
  const prefix = await reader.fill(Buffer.alloc(PREFIX_BYTES))
  const text = await reader.fill(Buffer.alloc(headerLength(prefix)))
  return { header: parseHeader(prefix, text), hash: createHash('sha256').update(prefix).update(text) }
}

/**
 * Yields the records of a stream, and ends if its end is verified. Does not verify the content of chunks. `buffer` returns the
 * memory for a chunk. Throws `DM_TRANSFER_INVALID`.
 */
export async function* recordsIn(
  reader: ByteReader,
  { header, hash }: Beginning,
  buffer: (length: number) => Uint8Array = alignedBuffer,
): AsyncGenerator<LoadedRecord, void> {
  let [records, bytes, end] = [0, 0, header.resume?.offset ?? 0]
  for (;;) {
    const head = await reader.fill(Buffer.alloc(RECORD_BYTES))
    const record = parseRecord(head, header, end)
    if (record.type === 'end') {
      const isWhole = record.offset === records && record.length === bytes && hash.digest().equals(record.digest)
      if (!isWhole || reader.left > 0)
        throw invalidTransfer('damaged', 'the stream does not have the digest of its end')
      return
    }
    hash.update(head)
    const content = record.type === 'chunk' ? await reader.fill(buffer(record.length)) : undefined
    records++
    bytes += content?.length ?? 0
    end = record.offset + record.length
    yield { record, content }
  }
}

/** Verifies the content of a chunk. Rejects with `DM_TRANSFER_INVALID`. */
export async function checkContent({ offset, digest }: LoadedRecord['record'], content: Uint8Array): Promise<void> {
  const found = await digestOf(content)
  if (digest.every((byte, at) => byte === found[at])) return
  throw invalidTransfer('damaged', `the digest of the chunk at ${offset} is not that of its content`)
}
