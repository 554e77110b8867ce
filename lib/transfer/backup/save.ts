// Saving a stream as a backup: its chunks, the pages that list them, and the manifest at last.
import { checkName, checkOptions, type SignalOption } from '../../base/options.js'
import { throwIfAborted } from '../../base/errors.js'
import { ByteReader, type ByteSource } from '../byte-reader.js'
import { invalidTransfer, type StreamHeader } from '../format.js'
import { inOrder } from '../in-flight.js'
import type { TransferProgress } from '../progress.js'
import { checkContent, readHeader, recordsIn, type Beginning } from '../read-stream.js'
import { checkSource } from '../receive.js'
import { isSame } from '../state.js'
import type { LoadedRecord } from '../write-stream.js'
import type { ChunkStore } from './chunk-store.js'
import { formatManifest, readManifest, type Manifest } from './manifest.js'
import { addChunk, changed, digestOf, formatPage, PAGE_BYTES, readPage, type Change } from './pages.js'

/** Options of `saveBackup`. */
export interface SaveBackupOptions extends SignalOption {
  /** For an incremental stream, required: the name of the backup from whose state it leads. */
  readonly base?: string
  /** Called after each chunk and hole. Default: no calls. */
  readonly onProgress?: (progress: TransferProgress) => void
}

/** A backup that was saved. */
export interface SavedBackup {
  /** The name under which it was saved. */
  readonly name: string
  /** The size of the volume that was sent. */
  readonly sizeBytes: number
  /** The number of bytes of content in the stream. */
  readonly receivedBytes: number
  /** The number of bytes that were added to the store, without the manifest: the rest was there. */
  readonly addedBytes: number
}

/** The number of chunks that are stored at a time. */
const PUTS = 8

/**
 * Saves a stream of `sendVolume` as a backup. An incremental stream makes a whole backup too: it names the chunks of `base`
 * that have not changed. The manifest is stored last, so that a backup is there whole or not at all; chunks of a call that
 * fails stay until `collectGarbage`. If the source is a stream of this library, the volume that it sends is as before when the
 * call resolves.
 *
 * Rejects with `DM_TRANSFER_INVALID`, whose `detail` is the reason, `DM_INVALID_ARGUMENT`, `ABORT_ERR`, and the errors of the
 * store.
 */
export async function saveBackup(
  store: ChunkStore,
  name: string,
  source: ByteSource,
  options: SaveBackupOptions = {},
): Promise<SavedBackup> {
  checkOptions(options, ['base', 'onProgress', 'signal'], 'saveBackup')
  checkName(name)
  checkSource(source)
  const { signal } = options
  const reader = new ByteReader(source, signal)
  try {
    throwIfAborted(signal)
    const unlock = await store.lock('shared', signal)
    try {
      const saved = await save(store, name, reader, options)
      await reader.end()
      return saved
    } finally {
      await unlock()
    }
  } catch (fault) {
    reader.close()
    throw fault
  }
}

async function save(
  store: ChunkStore,
  name: string,
  reader: ByteReader,
  { base, onProgress, signal }: SaveBackupOptions,
): Promise<SavedBackup> {
  if ((await store.manifests.get(name)) !== undefined) throw exists(name)
  const beginning = await readHeader(reader)
  const { pool, sizeBytes, dataBlockBytes, target } = beginning.header
  const pages = new PageWriter(store, sizeBytes, await baseOf(store, beginning.header, base))
  let [receivedBytes, addedBytes] = [0, 0]
  for await (const { change, bytes, added } of stored(store, reader, beginning)) {
    await orStop(reader, pages.add(change))
    receivedBytes += bytes
    addedBytes += added
    onProgress?.({ bytes: receivedBytes, offsetBytes: change.offset + change.length, sizeBytes })
  }
  const written = await pages.end()
  const manifest = { pool, sizeBytes, dataBlockBytes, target, savedAt: new Date().toISOString(), pages: written }
  throwIfAborted(signal)
  if (!(await store.manifests.put(name, formatManifest(manifest)))) throw exists(name)
  return { name, sizeBytes, receivedBytes, addedBytes: addedBytes + pages.addedBytes }
}

const exists = (name: string) => invalidTransfer('backup-exists', `there is a backup ${name} already`)

/** Stores the chunks of a stream, and yields what has changed. */
async function* stored(store: ChunkStore, reader: ByteReader, beginning: Beginning) {
  const put = async ({ record, content }: LoadedRecord) => {
    const { offset, length } = record
    if (!content) return { change: { offset, length } as Change, bytes: 0, added: 0 }
    await checkContent(record, content)
    const digest = Buffer.from(record.digest).toString('hex')
    return { change: { offset, length, digest }, bytes: length, added: await addChunk(store, digest, content) }
  }
  yield* inOrder(recordsIn(reader, beginning), PUTS, record => orStop(reader, put(record)))
}

/** Ends the read in progress if a call fails: a source that waits for data itself would delay the error. */
async function orStop<T>(reader: ByteReader, call: Promise<T>): Promise<T> {
  try {
    return await call
  } catch (fault) {
    reader.stop()
    throw fault
  }
}

/** Returns the backup from which an incremental stream leads. Rejects with `DM_TRANSFER_INVALID`. */
async function baseOf(
  store: ChunkStore,
  header: StreamHeader,
  name: string | undefined,
): Promise<Manifest | undefined> {
  if (header.resume) throw invalidTransfer('resume', 'a stream that continues another one cannot be saved as a backup')
  if (header.base === undefined && name === undefined) return undefined
  if (header.base === undefined) throw invalidTransfer('base', 'the stream is full: it needs no base')
  if (name === undefined) throw invalidTransfer('base', 'the stream is incremental: it needs a base')
  const base = await readManifest(store, name)
  if (header.base.starts.includes(base.target.start) && isSame(base.target, header.base)) return base
  throw invalidTransfer('base', `backup ${name} is not the base of the stream`)
}

/** Writes the pages in which something has changed, by ascending number, while changes are added. */
class PageWriter {
  readonly #store: ChunkStore
  readonly #older: ReadonlyMap<number, string>
  readonly #pages: Map<number, string>
  #index = 0
  #changes: Change[] = []
  addedBytes = 0

  constructor(store: ChunkStore, sizeBytes: number, base: Manifest | undefined) {
    this.#store = store
    this.#older = base?.pages ?? new Map()
    // A volume that was made smaller has no mappings after its end: the sender verifies it.
    this.#pages = new Map([...this.#older].filter(([index]) => index * PAGE_BYTES < sizeBytes))
  }

  /** Adds a change, which is after those before. */
  async add({ offset, length, digest }: Change): Promise<void> {
    const end = offset + length
    const [first, last] = [Math.floor(offset / PAGE_BYTES), Math.floor((end - 1) / PAGE_BYTES)]
    // A long hole concerns only the pages that there are.
    const all = digest === undefined && last - first > 1 ? [...this.#older.keys()] : undefined
    const indexes = all?.filter(index => index >= first && index <= last).sort((a, b) => a - b)
    for (const index of indexes ?? range(first, last)) {
      if (index !== this.#index) await this.#write()
      this.#index = index
      const [begin, limit] = [Math.max(offset, index * PAGE_BYTES), Math.min(end, (index + 1) * PAGE_BYTES)]
      this.#changes.push({ offset: begin, length: limit - begin, ...(digest !== undefined && { digest }) })
    }
  }

  /** Returns the pages when all of them are stored. */
  async end(): Promise<ReadonlyMap<number, string>> {
    await this.#write()
    return new Map([...this.#pages].sort(([a], [b]) => a - b))
  }

  async #write(): Promise<void> {
    const changes = this.#changes
    if (changes.length === 0) return
    this.#changes = []
    const older = this.#older.get(this.#index)
    const entries = changed(older === undefined ? [] : await readPage(this.#store, this.#index, older), changes)
    if (entries.length === 0) {
      this.#pages.delete(this.#index)
      return
    }
    const page = formatPage(entries)
    const digest = digestOf(page)
    this.addedBytes += await addChunk(this.#store, digest, page)
    this.#pages.set(this.#index, digest)
  }
}

const range = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, at) => first + at)
