// The writer of entries: one batch is written by the native side while the next is packed.
import type { Handle } from '../../kernel/port/handle.js'
import type { MachinePort } from '../../kernel/port/machine-port.js'
import { MiB } from '../../base/units.js'
import type { TarEntry } from './entry-reader.js'
import { beyond, readable } from './tar-errors.js'
import type { TarReader } from './tar-reader.js'
import type { SparseMap } from './sparse-map.js'
import { entryBytes, RECORD_BYTES, removalBytes, TreeBatch } from './tree-batch.js'

const BATCH_BYTES = 1 * MiB
/** The limit for content of a batch that is not copied. */
const CHUNK_BYTES = 4 * MiB
/** The maximum size of a file whose content is copied with its entry. */
const SMALL_BYTES = BATCH_BYTES / 4
/** The minimum size of a piece of content that is not copied. */
const LARGE_PIECE_BYTES = 16 * 1024
/** The limit for the names and attributes of one entry. */
const ENTRY_BYTES = BATCH_BYTES / 2

/** The writer of one tree. */
export class TreeWriter {
  readonly #port: MachinePort
  readonly #handle: Handle
  readonly #signal: AbortSignal | undefined
  readonly #onWritten: () => void
  #filling = new TreeBatch(BATCH_BYTES)
  #free = new TreeBatch(BATCH_BYTES)
  #writing: Promise<void> = Promise.resolve()

  constructor(port: MachinePort, handle: Handle, signal: AbortSignal | undefined, onWritten: () => void) {
    this.#port = port
    this.#handle = handle
    this.#signal = signal
    this.#onWritten = onWritten
  }

  async entry(entry: TarEntry, reader: TarReader, sparse?: SparseMap): Promise<void> {
    const bytes = entryBytes(entry)
    if (bytes > ENTRY_BYTES) throw beyond(`entry ${readable(entry.name)} has more than 512 KiB of attributes`)
    if (sparse || entry.storedBytes > SMALL_BYTES) return this.#large(entry, bytes, reader, sparse)
    if (!this.#filling.fits(bytes + entry.storedBytes)) await this.#submit()
    const content = this.#filling.entry(entry, entry.storedBytes, false)
    for (let at = 0; at < content.length;) {
      const piece = reader.here(content.length - at) ?? (await reader.some(content.length - at))
      content.set(piece, at)
      at += piece.length
    }
  }

  async #large(entry: TarEntry, bytes: number, reader: TarReader, sparse: SparseMap | undefined): Promise<void> {
    if (!this.#filling.fits(bytes)) await this.#submit()
    this.#filling.entry(entry, 0, true)
    const pieces = sparse?.pieces ?? [0, entry.storedBytes]
    for (let i = 0; i < pieces.length; i += 2) await this.#content(pieces[i]!, pieces[i + 1]!, reader)
    await this.#room(RECORD_BYTES)
    this.#filling.end(sparse?.sizeBytes ?? entry.storedBytes)
  }

  async #content(offset: number, length: number, reader: TarReader): Promise<void> {
    const end = offset + length
    for (let at = offset; at < end;) {
      const piece = reader.here(end - at) ?? (await reader.some(end - at))
      if (piece.length >= LARGE_PIECE_BYTES) {
        await this.#room(RECORD_BYTES)
        this.#filling.chunk(at, piece)
        if (this.#filling.chunkBytes >= CHUNK_BYTES) await this.#submit()
      } else {
        await this.#room(RECORD_BYTES + piece.length)
        this.#filling.data(at, piece)
      }
      at += piece.length
    }
  }

  async whiteout(parent: string, name: string): Promise<void> {
    await this.#room(removalBytes(parent, name))
    this.#filling.whiteout(parent, name)
  }

  async opaque(directory: string): Promise<void> {
    await this.#room(removalBytes(directory, ''))
    this.#filling.opaque(directory)
  }

  /** Writes all remaining entries and the times of directories. With `sync`, waits until everything is on the disk. */
  async finish(sync: boolean): Promise<void> {
    await this.#submit()
    await this.#writing
    await this.#port.treeFinish(this.#handle, sync, this.#signal)
  }

  /** Waits until no write is in progress. Ignores the error of the write. */
  async settled(): Promise<void> {
    await this.#writing.catch(() => {})
  }

  async #room(bytes: number): Promise<void> {
    if (!this.#filling.fits(bytes)) await this.#submit()
  }

  /** Starts the write of the packed batch, after the previous batch has been written. */
  async #submit(): Promise<void> {
    await this.#writing
    if (this.#filling.empty) return
    const batch = this.#filling
    this.#filling = this.#free
    this.#free = batch
    this.#writing = this.#write(batch)
    // The next call that waits reports the error. Until then it must not count as unhandled.
    this.#writing.catch(() => {})
  }

  async #write(batch: TreeBatch): Promise<void> {
    await this.#port.treeWrite(this.#handle, batch.packed, batch.chunks, this.#signal)
    batch.clear()
    this.#onWritten()
  }
}
