// The stream of `diffTar`: compares the trees, and reads files in pieces as fast as the consumer reads the stream.
import { Readable } from 'node:stream'
import { abortError } from '../../base/errors.js'
import { MiB } from '../../base/units.js'
import { loadTarStream, TarPacker } from '../common/tar-stream.js'
import { tarEntries, type TarEntry } from './entry-writer.js'
import { TreeComparison } from '../compare/tree-comparison.js'
import type { FilePart } from '../compare/tree-record.js'

/** The amount that `diffTar` has written so far. */
export interface TarProgress {
  /** The number of entries that have been written. */
  readonly entries: number
  /** The number of entries of the whole tar, including sockets, which are skipped. */
  readonly totalEntries: number
  /** The content of files that has been read, in bytes. */
  readonly bytes: number
}

interface LayerTarOptions {
  readonly signal: AbortSignal | undefined
  readonly onProgress: ((progress: TarProgress) => void) | undefined
}

/** The limits of one native call to read: one piece of a large file, or many small files. */
const CHUNK_BYTES = 1 * MiB
const CHUNK_ENTRIES = 512
/** The size of the stream's buffer. */
const READY_BYTES = MiB / 4

/** The tar of a layer, as a stream. */
export class LayerTar extends Readable {
  readonly #lower: string | undefined
  readonly #upper: string
  readonly #options: LayerTarOptions
  readonly #stop = new AbortController()
  readonly #onAbort = () => void this.destroy(abortError(this.#options.signal))
  #packer: TarPacker | undefined
  #writing: Promise<void> | undefined
  readonly #done = { entries: 0, totalEntries: 0, bytes: 0 }

  constructor(lower: string | undefined, upper: string, options: LayerTarOptions) {
    super({ highWaterMark: READY_BYTES })
    this.#lower = lower
    this.#upper = upper
    this.#options = options
    if (options.signal?.aborted) this.#onAbort()
    else options.signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  override _read(): void {
    this.#packer?.resume()
    this.#writing ??= this.#write().catch((fault: unknown) => void this.destroy(fault as Error))
  }

  /** Calls `done` after the last native call has returned and everything is closed. */
  override _destroy(fault: Error | null, done: (fault: Error | null) => void): void {
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    this.#stop.abort()
    this.#packer?.destroy()
    void (this.#writing ?? Promise.resolve()).then(() => done(fault))
  }

  async #write(): Promise<void> {
    const { pack } = await loadTarStream()
    const compared = { lower: this.#lower, upper: this.#upper, detail: true }
    const comparison = await TreeComparison.open(compared, this.#stop.signal)
    try {
      const records = await comparison.records(undefined)
      this.#done.totalEntries = records.reduce((sum, { kind }) => sum + (kind === 'U' ? 0 : 1), 0)
      const packer = (this.#packer = new TarPacker(pack(), chunk => this.push(chunk)))
      for (const chunk of chunksOf(tarEntries(records))) await this.#writeChunk(packer, comparison, chunk)
      packer.finish()
    } finally {
      await comparison.close()
    }
  }

  async #writeChunk(packer: TarPacker, comparison: TreeComparison, chunk: readonly TarEntry[]): Promise<void> {
    const [first] = chunk
    if (first!.header.size > CHUNK_BYTES) {
      await packer.addInPieces(first!, this.#piecesOf(packer, comparison, first!))
    } else {
      const content = await comparison.read(chunk.flatMap(each => partsOf(each, 0, each.header.size)))
      let at = 0
      for (const each of chunk) {
        await packer.room()
        await packer.add(each, content.subarray(at, (at += each.header.size)))
      }
      this.#done.bytes += content.length
    }
    this.#done.entries += chunk.length
    this.#tell()
  }

  async *#piecesOf(packer: TarPacker, comparison: TreeComparison, entry: TarEntry): AsyncGenerator<Buffer> {
    const { size } = entry.header
    for (let at = 0; at < size; at += CHUNK_BYTES) {
      await packer.room()
      const piece = await comparison.read(partsOf(entry, at, Math.min(CHUNK_BYTES, size - at)))
      yield piece
      this.#done.bytes += piece.length
      this.#tell()
    }
  }

  #tell(): void {
    this.#options.onProgress?.({ ...this.#done })
  }
}

function partsOf({ key, header, identity }: TarEntry, offsetBytes: number, lengthBytes: number): FilePart[] {
  return identity === undefined || header.size === 0 ? [] : [{ key, identity, offsetBytes, lengthBytes }]
}

/** Groups entries whose content is read with one call. A file that exceeds the limit is alone in its group. */
function* chunksOf(entries: Iterable<TarEntry>): Generator<TarEntry[]> {
  let chunk: TarEntry[] = []
  let bytes = 0
  for (const entry of entries) {
    const { size } = entry.header
    if (chunk.length > 0 && (chunk.length === CHUNK_ENTRIES || bytes + size > CHUNK_BYTES)) {
      yield chunk
      chunk = []
      bytes = 0
    }
    chunk.push(entry)
    bytes += size
  }
  if (chunk.length > 0) yield chunk
}
