// Writing the records of a stream to a device.
import { undefinedIf } from '../base/errors.js'
import { signalOption } from '../base/options.js'
import { alignedBuffer, type BlockDevice } from '../block/block-device.js'
import type { ByteReader } from './byte-reader.js'
import { MAX_CHUNK_BYTES, type StreamRecord } from './format.js'
import { forEachOf, segmentsOf } from './in-flight.js'
import type { TransferProgress } from './progress.js'
import { checkContent, recordsIn, type Beginning } from './read-stream.js'
import type { LoadedRecord } from './write-stream.js'

/** The number of writes that are in progress, each of at most one chunk. */
const WRITES = 8

/** The device to which records are written, and the options of the call. */
export interface Target {
  readonly device: BlockDevice
  readonly onProgress?: ((progress: TransferProgress) => void) | undefined
  readonly signal?: AbortSignal | undefined
  /** Makes the position durable that was reached, after each number of bytes, and if the stream fails. */
  readonly saving?: Saving | undefined
}

export interface Saving {
  readonly everyBytes: number
  /** Makes durable that everything before an offset was written. */
  readonly save: (offset: number) => Promise<void>
}

/** Writes the records of a stream. Resolves when the last one was read, and everything was verified and written. */
export async function applyRecords(reader: ByteReader, beginning: Beginning, target: Target): Promise<void> {
  const { header } = beginning
  const { device, onProgress, signal, saving } = target
  const buffers = new ChunkBuffers()
  const written = new WrittenPrefix(header.resume?.offset ?? 0)
  let [bytes, offsetBytes] = [0, 0]
  const write = async ({ record, content }: LoadedRecord): Promise<void> => {
    const { offset, length } = record
    const done = written.begin(offset + length)
    if (!content) await unmap(device, { offset, length }, header.dataBlockBytes, signal)
    else {
      await checkContent(record, content)
      await device.write(offset, content, signalOption(signal))
      buffers.free(content)
    }
    done()
    bytes += content?.length ?? 0
    offsetBytes = Math.max(offsetBytes, offset + length)
    onProgress?.({ bytes, offsetBytes, sizeBytes: header.sizeBytes })
  }
  const records = recordsIn(reader, beginning, length => buffers.take(length))
  if (!saving) return forEachOf(records, WRITES, write, () => reader.stop())
  const sizeOf = ({ content }: LoadedRecord) => content?.length ?? 0
  try {
    for await (const segment of segmentsOf(records, saving.everyBytes, sizeOf)) {
      await forEachOf(segment, WRITES, write, () => reader.stop())
      await saving.save(written.offset)
    }
  } catch (fault) {
    await saving.save(written.offset).catch(() => {}) // the position that was saved before counts
    throw fault
  }
}

/** Memory for whole chunks, used again: of new memory, the kernel clears each page when it is first touched. */
class ChunkBuffers {
  readonly #free: Uint8Array[] = []

  take(length: number): Uint8Array {
    return (length === MAX_CHUNK_BYTES ? this.#free.pop() : undefined) ?? alignedBuffer(length)
  }

  /** Called when nobody uses the chunk any more. */
  free(chunk: Uint8Array): void {
    if (chunk.length === MAX_CHUNK_BYTES) this.#free.push(chunk)
  }
}

/** The offset before which everything is written, while writes end in any order. */
class WrittenPrefix {
  readonly #begun: { readonly end: number; done: boolean }[] = []
  #offset: number

  constructor(offset: number) {
    this.#offset = offset
  }

  get offset(): number {
    return this.#offset
  }

  /** Adds a write that begins, which is after those before. Returns the function to call when it is done. */
  begin(end: number): () => void {
    const write = { end, done: false }
    this.#begun.push(write)
    return () => {
      write.done = true
      while (this.#begun[0]?.done) this.#offset = this.#begun.shift()!.end
    }
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
