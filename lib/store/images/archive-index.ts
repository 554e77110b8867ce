// The files of an image's archive, found by their names. The names are untrusted input: they are only looked up.
import path from 'node:path'
import { DmThinError, throwIfAborted } from '../../base/errors.js'
import type { SignalOption } from '../../base/options.js'
import { entryOf, joined } from '../tar-read/entry-reader.js'
import { TarEntries, type BlockReader } from '../tar-read/tar-entries.js'
import { loadTarStream } from '../common/tar-stream.js'
import { padding } from '../tar-read/tar-reader.js'

const MAX_LINKS = 40

/** A file of an image. */
export interface ImageFile {
  readonly sizeBytes: number
  /** Yields its bytes. Nothing is opened before the first piece is asked for. */
  readonly read: () => AsyncIterable<Uint8Array>
}

/** A lookup of a file by its name; undefined if there is none. */
export type FindFile = (name: string) => ImageFile | undefined

export interface ArchiveLimits extends SignalOption {
  /** The limit for the total size of the files, in bytes. */
  readonly maxBytes: number
  readonly maxEntries: number
}

export interface ArchiveReader extends BlockReader {
  skip(lengthBytes: number): Promise<void> | void
}

export const plain = (name: string): string => path.posix.normalize(`/${name}`).slice(1)
export const limit = (what: string): DmThinError => new DmThinError('DM_LAYER_LIMIT', `image archive: ${what}`)

/** Reads the headers of an archive. `take` reads or skips the content of one file, which follows in the reader. */
export async function indexArchive(
  reader: ArchiveReader,
  take: (sizeBytes: number) => Promise<ImageFile>,
  { maxBytes, maxEntries, signal }: ArchiveLimits,
): Promise<FindFile> {
  const entries = new TarEntries(await loadTarStream(), reader)
  const files = new Map<string, ImageFile>()
  const links = new Map<string, string>()
  let [count, bytes] = [0, 0]
  for (let found = await entries.next(); found; found = await entries.next()) {
    throwIfAborted(signal)
    const entry = entryOf(found.header, found.block, found.records)
    const name = text(joined(entry.parent, entry.name))
    const { type, storedBytes } = entry
    count += 1
    bytes += storedBytes
    if (count > maxEntries) throw limit(`more than ${maxEntries} entries`)
    if (bytes > maxBytes) throw limit(`more than ${maxBytes} bytes`)
    if (type === 'file') files.set(name, await take(storedBytes))
    if (type === 'symlink') links.set(name, plain(`${path.posix.dirname(name)}/${text(entry.link)}`))
    if (type === 'link') links.set(name, plain(text(entry.link)))
    await reader.skip(padding(storedBytes))
  }
  return name => resolved(plain(name), files, links)
}

/** Follows links: old versions of `docker save` link equal layers to each other. */
function resolved<T>(name: string, files: Map<string, T>, links: Map<string, string>): T | undefined {
  let at: string | undefined = name
  for (let step = 0; at !== undefined && step < MAX_LINKS; step += 1) {
    const file = files.get(at)
    if (file) return file
    at = links.get(at)
  }
  return undefined
}

/** Decodes a name of an archive, which has one character for each byte. */
const text = (bytes: string): string => Buffer.from(bytes, 'latin1').toString('utf8')
