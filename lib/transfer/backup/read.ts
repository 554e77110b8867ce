// Reading a backup as a stream, which restores it.
import type { Readable } from 'node:stream'
import { isDeepStrictEqual } from 'node:util'
import { checkOptions, type SignalOption } from '../../base/options.js'
import { digestOf } from '../chunk-digest.js'
import { invalidTransfer, type StreamHeader } from '../format.js'
import { inOrder } from '../in-flight.js'
import type { TransferProgress } from '../progress.js'
import { parseToken } from '../token.js'
import { readableOf, streamOf, type LoadedRecord } from '../write-stream.js'
import type { ChunkStore } from './chunk-store.js'
import { readManifest, type Manifest } from './manifest.js'
import { partOf, readChunk, readPage, type Entry } from './pages.js'

/** Options of `readBackup`. */
export interface ReadBackupOptions extends SignalOption {
  /** Continues a stream of this backup that was interrupted, with a token of `interruptedReceives`. Default: from the start. */
  readonly resume?: string
  /** Called after each chunk. Default: no calls. */
  readonly onProgress?: (progress: TransferProgress) => void
}

/** The number of chunks that are read at a time. */
const READS = 8

/**
 * Returns a backup as a full stream for `receiveVolume`. Verifies the digest of each chunk. What is received is a copy of the
 * volume that was sent: streams with changes since can be received on top of it.
 *
 * Rejects, or the stream fails later, with `DM_TRANSFER_INVALID`, whose `detail` is the reason, `DM_INVALID_ARGUMENT`,
 * `ABORT_ERR`, and the errors of the store.
 */
export async function readBackup(store: ChunkStore, name: string, options: ReadBackupOptions = {}): Promise<Readable> {
  checkOptions(options, ['resume', 'onProgress', 'signal'], 'readBackup')
  const { pages, ...manifest } = await readManifest(store, name)
  const header = { ...headerOf(manifest), ...resumeOf(manifest, options.resume) }
  const load = async ({ offset, length, position, digest }: Entry): Promise<LoadedRecord> => {
    const content = (await readChunk(store, digest)).subarray(position, position + length)
    if (content.length !== length) throw invalidTransfer('damaged', `chunk ${digest} is shorter than the backup says`)
    return { record: { type: 'chunk', offset, length, digest: await digestOf(content) }, content }
  }
  const loaded = inOrder(entriesIn(store, pages, header), READS, load)
  return readableOf(streamOf(header, loaded, options), options.signal)
}

const headerOf = ({ pool, sizeBytes, dataBlockBytes, target }: Omit<Manifest, 'pages'>): StreamHeader => ({
  pool,
  sizeBytes,
  dataBlockBytes,
  target,
})

function resumeOf({ target }: Omit<Manifest, 'pages'>, token: string | undefined): Partial<StreamHeader> {
  if (token === undefined) return {}
  const resumed = parseToken(token)
  if (isDeepStrictEqual(resumed.target, target) && resumed.base === undefined) return { resume: resumed.resume }
  throw invalidTransfer('resume', 'the token is of another stream')
}

async function* entriesIn(
  store: ChunkStore,
  pages: ReadonlyMap<number, string>,
  { resume }: StreamHeader,
): AsyncGenerator<Entry, void> {
  const begin = resume?.offset ?? 0
  for (const [index, digest] of pages) {
    for (const entry of await readPage(store, index, digest)) {
      const end = entry.offset + entry.length
      if (end > begin) yield entry.offset < begin ? partOf(entry, begin, end) : entry
    }
  }
}
