// The files of an image: a directory, or an archive that is unpacked into a temporary folder. The names in an archive are
// untrusted input: they are only looked up, and no file is created with such a name.
import { signalOption } from '../../base/options.js'
import { createHash } from 'node:crypto'
import { createWriteStream, existsSync } from 'node:fs'
import { mkdir, readFile, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { DmThinError, throwIfAborted } from '../../base/errors.js'
import { GiB, KiB, MiB } from '../../base/units.js'
import { loadTarStream } from '../common/tar-stream.js'
import { digestOf } from '../common/digest.js'
import { fileChunks } from '../tar-read/layer-file.js'
import { LayerStream } from '../tar-read/layer-stream.js'
import { damaged } from './document.js'

/** The limit for a manifest or configuration. */
const MAX_DOCUMENT_BYTES = 8 * MiB
const MAX_LINKS = 40
/** The overhead of each entry of the archive: its header, an extended header before it, and padding. */
const OVERHEAD_BYTES = 4 * KiB
const MAX_TRAILING_BYTES = 64 * MiB
/** The default of layers: see `ApplyOptions`. */
const MAX_RATIO = 200

export interface Contents {
  has(name: string): boolean
  /** Returns a small file. Rejects with `DM_LAYER_DIGEST` if its digest is not `digest`. */
  document(name: string, digest?: string): Promise<Buffer>
  /** Yields the bytes of a file. Nothing is opened before the first piece is asked for. */
  open(name: string): AsyncIterable<Uint8Array>
  /** Removes the unpacked files. */
  close(): Promise<void>
}

class Files implements Contents {
  readonly #fileOf: (name: string) => string | undefined
  readonly #unpacked: string | undefined

  constructor(fileOf: (name: string) => string | undefined, unpacked?: string) {
    this.#fileOf = fileOf
    this.#unpacked = unpacked
  }

  has(name: string): boolean {
    return this.#fileOf(name) !== undefined
  }

  async document(name: string, digest?: string): Promise<Buffer> {
    const file = this.#file(name)
    const { size } = await stat(file)
    if (size > MAX_DOCUMENT_BYTES) throw damaged(name, `${size} bytes are more than ${MAX_DOCUMENT_BYTES}`)
    const bytes = await readFile(file)
    if (digest !== undefined && digestOf(bytes) !== digest) {
      const text = `image: ${name} has digest ${digestOf(bytes)}, and not ${digest}`
      throw new DmThinError('DM_LAYER_DIGEST', text, { device: name })
    }
    return bytes
  }

  async *open(name: string): AsyncGenerator<Uint8Array> {
    yield* fileChunks(this.#file(name))
  }

  async close(): Promise<void> {
    if (this.#unpacked !== undefined) await rm(this.#unpacked, { recursive: true, force: true })
  }

  #file(name: string): string {
    const file = this.#fileOf(name)
    if (file === undefined) throw damaged(name, 'it does not exist')
    return file
  }
}

/** Returns the files of a directory that is an OCI layout. */
export function directoryContents(directory: string): Contents {
  const fileOf = (name: string) => {
    const file = path.join(directory, name)
    // The names are those of the specification, and digests that were checked. Old archives that were unpacked by hand have
    // other names.
    const inside = file.startsWith(path.resolve(directory) + path.sep) || file.startsWith(directory + path.sep)
    return inside && existsSync(file) ? file : undefined
  }
  return new Files(fileOf)
}

export interface UnpackLimits {
  /** The limit for the total size of the files, in bytes. */
  readonly maxBytes: number
  readonly maxEntries: number
  readonly signal?: AbortSignal | undefined
}

/** Unpacks an archive into `folder`. The names of the files there are numbers. */
export async function archiveContents(
  folder: string,
  archive: AsyncIterable<Uint8Array>,
  limits: UnpackLimits,
): Promise<Contents> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  try {
    const found = await unpack(folder, archive, limits)
    return new Files(name => found(plain(name)), folder)
  } catch (fault) {
    await rm(folder, { recursive: true, force: true })
    throw fault
  }
}

type Found = (name: string) => string | undefined

async function unpack(
  folder: string,
  archive: AsyncIterable<Uint8Array>,
  { maxBytes, maxEntries, signal }: UnpackLimits,
): Promise<Found> {
  const { extract } = await loadTarStream()
  const maxStreamBytes = maxBytes + maxEntries * OVERHEAD_BYTES + MAX_TRAILING_BYTES
  const bounds = { maxStreamBytes, maxRatio: MAX_RATIO, maxRatioFromBytes: GiB }
  const stream = new LayerStream(archive, bounds, signal, { digests: false }) // each file in the archive has a digest
  const files = new Map<string, string>()
  const links = new Map<string, string>()
  const entries = extract()
  const feeding = pipeline(Readable.from(stream.archive()), entries, signalOption(signal))
  feeding.catch(() => {}) // the loop below reports the error
  let [count, bytes] = [0, 0]
  try {
    for await (const entry of entries) {
      throwIfAborted(signal)
      const { name, type, linkname, size = 0 } = entry.header
      count += 1
      bytes += size
      if (count > maxEntries) throw limit(`more than ${maxEntries} entries`)
      if (bytes > maxBytes) throw limit(`more than ${maxBytes} bytes`)
      if (type === 'file') {
        const file = path.join(folder, String(count))
        await pipeline(entry, createWriteStream(file, { mode: 0o600 }))
        files.set(plain(name), file)
      } else {
        entry.resume()
        if (type === 'symlink') links.set(plain(name), path.posix.join(path.posix.dirname(plain(name)), linkname ?? ''))
        if (type === 'link') links.set(plain(name), plain(linkname ?? ''))
      }
    }
    await feeding
  } catch (fault) {
    entries.destroy()
    if (signal?.aborted) throwIfAborted(signal)
    if (fault instanceof DmThinError) throw fault
    const { code, message } = fault as NodeJS.ErrnoException
    if (code === 'ENOSPC' || code === 'EDQUOT') throw noSpace(folder, message)
    throw damaged('archive', message)
  } finally {
    stream.abandon()
  }
  // Old versions of `docker save` link equal layers to each other.
  return name => {
    let at = name
    for (let step = 0; step < MAX_LINKS; step += 1) {
      if (files.has(at)) return files.get(at)
      const next = links.get(at)
      if (next === undefined) return undefined
      at = plain(next)
    }
    return undefined
  }
}

const plain = (name: string): string => path.posix.normalize(`/${name}`).slice(1)
const noSpace = (folder: string, why: string): DmThinError =>
  new DmThinError('DM_LAYER_SPACE', `the files of the image archive do not fit below ${folder}: ${why}`, {
    device: folder,
  })
const limit = (what: string): DmThinError => new DmThinError('DM_LAYER_LIMIT', `image archive: ${what}`)

/** Passes bytes through. Calls `done` with their digest and number at the end. */
export async function* digested(
  source: AsyncIterable<Uint8Array>,
  done: (digest: string, size: number) => void,
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256')
  let size = 0
  for await (const chunk of source) {
    hash.update(chunk)
    size += chunk.length
    yield chunk
  }
  done(`sha256:${hash.digest('hex')}`, size)
}
