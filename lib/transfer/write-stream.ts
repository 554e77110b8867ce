// Writing a stream: its header, records and end.
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { abortError, throwIfAborted } from '../base/errors.js'
import { formatHeader, formatRecord, MAX_CHUNK_BYTES, type StreamHeader, type StreamRecord } from './format.js'
import type { TransferProgress } from './progress.js'

/** A record, and the content of a chunk. */
export interface LoadedRecord {
  readonly record: StreamRecord
  readonly content: Uint8Array | undefined
}

interface StreamOptions {
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: TransferProgress) => void) | undefined
}

/** Yields the bytes of a stream. Begins to load before it yields the header. */
export async function* streamOf(
  header: StreamHeader,
  loaded: AsyncGenerator<LoadedRecord, void>,
  { signal, onProgress }: StreamOptions,
): AsyncGenerator<Uint8Array, void> {
  try {
    let next = await loaded.next()
    const beginning = formatHeader(header)
    const hash = createHash('sha256').update(beginning)
    yield beginning
    let [records, bytes] = [0, 0]
    for (; !next.done; next = await loaded.next()) {
      throwIfAborted(signal)
      const { record, content } = next.value
      const head = formatRecord(record)
      hash.update(head)
      yield head
      if (content) yield content
      records++
      bytes += content?.length ?? 0
      onProgress?.({ bytes, offsetBytes: record.offset + record.length, sizeBytes: header.sizeBytes })
    }
    yield formatRecord({ type: 'end', offset: records, length: bytes, digest: hash.digest() })
  } finally {
    await loaded.return()
  }
}

/** The streams of `readableOf`. Other sources may stay open after their last byte. */
const streams = new WeakSet<object>()

/** Returns true if a source is a stream of this library, which closes itself after its last byte. */
export const isOwnStream = (source: object): source is Readable => streams.has(source)

/**
 * Returns a Readable of bytes. What fails before the first of them rejects, and does not fail the stream. An abort destroys
 * the stream.
 */
export async function readableOf(
  pieces: AsyncGenerator<Uint8Array, void>,
  signal: AbortSignal | undefined,
): Promise<Readable> {
  let first: IteratorResult<Uint8Array, void> | undefined = await pieces.next()
  const started: AsyncIterableIterator<Uint8Array> = {
    next: () => {
      const next = first
      first = undefined
      return next ? Promise.resolve(next) : pieces.next()
    },
    return: () => pieces.return() as Promise<IteratorResult<Uint8Array>>,
    throw: fault => pieces.throw(fault) as Promise<IteratorResult<Uint8Array>>,
    [Symbol.asyncIterator]: () => started,
  }
  const stream = Readable.from(started, { objectMode: false, highWaterMark: MAX_CHUNK_BYTES })
  streams.add(stream)
  const abort = () => stream.destroy(abortError(signal))
  signal?.addEventListener('abort', abort, { once: true })
  stream.once('close', () => signal?.removeEventListener('abort', abort))
  return stream
}
