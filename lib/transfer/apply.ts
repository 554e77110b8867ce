// Writing the records of a stream to a device.
import { createHash, type Hash } from 'node:crypto'
import { undefinedIf } from '../base/errors.js'
import { signalOption } from '../base/options.js'
import { alignedBuffer, type BlockDevice } from '../block/block-device.js'
import type { ByteReader } from './byte-reader.js'
import {
  digestOf,
  headerLength,
  invalidTransfer,
  parseHeader,
  parseRecord,
  PREFIX_BYTES,
  RECORD_BYTES,
  type StreamHeader,
  type StreamRecord,
} from './format.js'
import { forEachOf } from './in-flight.js'
import type { TransferProgress } from './send.js'

/** The number of writes that are in progress, each of at most one chunk. */
const WRITES = 8

/** The header of a stream, and the digest of its bytes to go on with. */
export interface Beginning {
  readonly header: StreamHeader
  readonly hash: Hash
}

/** Reads the header of a stream. Rejects with `DM_TRANSFER_INVALID`. */
export async function readHeader(reader: ByteReader): Promise<Beginning> {
  const prefix = await reader.fill(Buffer.alloc(PREFIX_BYTES))
  const text = await reader.fill(Buffer.alloc(headerLength(prefix)))
  return { header: parseHeader(text), hash: createHash('sha256').update(prefix).update(text) }
}

/** The device to which records are written, and the options of the call. */
export interface Target {
  readonly device: BlockDevice
  readonly onProgress?: ((progress: TransferProgress) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/** Writes the records of a stream. Resolves when the last one was read, and everything was verified and written. */
export async function applyRecords(reader: ByteReader, beginning: Beginning, target: Target): Promise<void> {
  const { sizeBytes, dataBlockBytes } = beginning.header
  const { device, onProgress, signal } = target
  let [bytes, offsetBytes] = [0, 0]
  const write = async ({ record, content }: Loaded): Promise<void> => {
    const { offset, length } = record
    if (!content) await unmap(device, { offset, length }, dataBlockBytes, signal)
    else {
      const digest = await digestOf(content)
      if (!record.digest.every((byte, at) => byte === digest[at])) {
        throw invalidTransfer('damaged', `the digest of the chunk at ${offset} is not that of its content`)
      }
      await device.write(offset, content, signalOption(signal))
    }
    bytes += content?.length ?? 0
    offsetBytes = Math.max(offsetBytes, offset + length)
    onProgress?.({ bytes, offsetBytes, sizeBytes })
  }
  await forEachOf(recordsIn(reader, beginning), WRITES, write, () => reader.stop())
}

interface Loaded {
  readonly record: StreamRecord
  readonly content: Buffer | undefined
}

async function* recordsIn(reader: ByteReader, { header, hash }: Beginning): AsyncGenerator<Loaded, void> {
  let [records, bytes, end] = [0, 0, 0]
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
    const content = record.type === 'chunk' ? await reader.fill(alignedBuffer(record.length)) : undefined
    records++
    bytes += content?.length ?? 0
    end = record.offset + record.length
    yield { record, content }
  }
}

/** Unmaps a range. The kernel keeps a block at the end of a volume that is not whole: it is zeroed. */
async function unmap(
  device: BlockDevice,
  { offset, length }: Pick<StreamRecord, 'offset' | 'length'>,
  blockBytes: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const wanted = signalOption(signal)
  const zero = (from: number, to: number) =>
    from < to ? device.zeroOut({ offsetBytes: from, lengthBytes: to - from, ...wanted }) : undefined
  const [first, end] = [Math.ceil(offset / blockBytes) * blockBytes, offset + length]
  const last = Math.max(first, Math.floor(end / blockBytes) * blockBytes)
  await zero(offset, Math.min(first, end))
  if (first < last) {
    const range = { offsetBytes: first, lengthBytes: last - first, ...wanted }
    const done = await device.discard(range).then(() => true, undefinedIf('DM_UNSUPPORTED'))
    if (!done) await zero(first, last) // a pool that ignores discards
  }
  await zero(last, end)
}
