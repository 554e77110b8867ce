// The files of an image: in a directory, in an archive that is read in place, or in one that is unpacked into a temporary
// folder. The names in an archive are untrusted input: they are only looked up, and no file is created with such a name.
import { existsSync, statSync } from 'node:fs'
import { mkdir, open, rm } from 'node:fs/promises'
import path from 'node:path'
import { DmThinError, hasCode } from '../../base/errors.js'
import { GiB, KiB, MiB } from '../../base/units.js'
import { digestOf } from '../common/digest.js'
import { fileChunks } from '../tar-read/layer-file.js'
import { LayerStream } from '../tar-read/layer-stream.js'
import { TarReader } from '../tar-read/tar-reader.js'
import { indexArchive, limit, type ArchiveLimits, type FindFile, type ImageFile } from './archive-index.js'
import { damaged } from './document.js'

/** The limit for a manifest or configuration. */
const MAX_DOCUMENT_BYTES = 8 * MiB
/** The overhead of each entry of the archive: its header, an extended header before it, and padding. */
const OVERHEAD_BYTES = 4 * KiB
const MAX_TRAILING_BYTES = 64 * MiB
/** The default of layers: see `ApplyOptions`. */
const MAX_RATIO = 200

/** The files of an image: those that `find` knows. */
export class Contents {
  readonly #find: FindFile
  /** Closes the archive, or removes the unpacked files. */
  readonly close: () => Promise<void>

  constructor(find: FindFile, close: () => Promise<void>) {
    this.#find = find
    this.close = close
  }

  has(name: string): boolean {
    return this.#find(name) !== undefined
  }

  /** Returns a small file. Rejects with `DM_LAYER_DIGEST` if its digest is not `digest`. */
  async document(name: string, digest?: string): Promise<Buffer> {
    const { sizeBytes, read } = this.#file(name)
    if (sizeBytes > MAX_DOCUMENT_BYTES) throw damaged(name, `${sizeBytes} bytes are more than ${MAX_DOCUMENT_BYTES}`)
    const pieces: Uint8Array[] = []
    for await (const piece of read()) pieces.push(piece)
    const bytes = Buffer.concat(pieces)
    if (digest !== undefined && digestOf(bytes) !== digest) {
      const text = `image: ${name} has digest ${digestOf(bytes)}, and not ${digest}`
      throw new DmThinError('DM_LAYER_DIGEST', text, { device: name })
    }
    return bytes
  }

  /** Yields the bytes of a file. Nothing is opened before the first piece is asked for. */
  async *open(name: string): AsyncGenerator<Uint8Array> {
    yield* this.#file(name).read()
  }

  #file(name: string): ImageFile {
    const file = this.#find(name)
    if (file === undefined) throw damaged(name, 'it does not exist')
    return file
  }
}

/** Returns the files of a directory that is an OCI layout. */
export function directoryContents(directory: string): Contents {
  const find = (name: string): ImageFile | undefined => {
    const file = path.join(directory, name)
    // The names are those of the specification, and digests that were checked. Old archives that were unpacked by hand have
    // other names.
    const inside = file.startsWith(path.resolve(directory) + path.sep) || file.startsWith(directory + path.sep)
    if (!inside || !existsSync(file)) return undefined
    return { sizeBytes: statSync(file).size, read: () => fileChunks(file) }
  }
  return new Contents(find, async () => {})
}

/** Unpacks an archive into `folder`. The names of the files there are numbers. */
export async function unpackedContents(
  folder: string,
  archive: AsyncIterable<Uint8Array>,
  limits: ArchiveLimits,
): Promise<Contents> {
  const remove = () => rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true, mode: 0o700 })
  try {
    return new Contents(await unpack(folder, archive, limits), remove)
  } catch (fault) {
    await remove()
    throw fault
  }
}

async function unpack(folder: string, archive: AsyncIterable<Uint8Array>, limits: ArchiveLimits): Promise<FindFile> {
  const { maxBytes, maxEntries, signal } = limits
  const maxStreamBytes = maxBytes + maxEntries * OVERHEAD_BYTES + MAX_TRAILING_BYTES
  const bounds = { maxStreamBytes, maxRatio: MAX_RATIO, maxRatioFromBytes: GiB }
  const stream = new LayerStream(archive, bounds, signal, { digests: false }) // each file in the archive has a digest
  const bytes = stream.archive()
  let fromStream: unknown
  const watched = async function* () {
    try {
      yield* bytes
    } catch (fault) {
      fromStream = fault
      throw fault
    }
  }
  const reader = new TarReader(watched())
  let count = 0
  const take = async (sizeBytes: number): Promise<ImageFile> => {
    const file = path.join(folder, String(++count))
    await copyTo(file, reader, sizeBytes)
    return { sizeBytes, read: () => fileChunks(file) }
  }
  try {
    const find = await indexArchive(reader, take, limits)
    await reader.drain(MAX_TRAILING_BYTES, () => limit(`more than ${MAX_TRAILING_BYTES} bytes follow its end`))
    return find
  } catch (fault) {
    if (fault === fromStream) throw fault
    const { code, message } = fault as NodeJS.ErrnoException
    if (code === 'ENOSPC' || code === 'EDQUOT') throw noSpace(folder, message)
    throw asImageFault(fault)
  } finally {
    void bytes.return()
    stream.abandon()
  }
}

async function copyTo(file: string, reader: TarReader, sizeBytes: number): Promise<void> {
  const out = await open(file, 'wx', 0o600)
  try {
    for (let left = sizeBytes; left > 0;) {
      const piece = await reader.some(left)
      await out.writeFile(piece) // appends
      left -= piece.length
    }
  } finally {
    await out.close()
  }
}

/** Converts the error for a damaged archive of a layer to that of an image. Returns other errors unchanged. */
export function asImageFault(fault: unknown): unknown {
  return hasCode(fault, 'DM_LAYER_TAR') ? damaged('archive', (fault as Error).message) : fault
}

const noSpace = (folder: string, why: string): DmThinError =>
  new DmThinError('DM_LAYER_SPACE', `the files of the image archive do not fit below ${folder}: ${why}`, {
    device: folder,
  })
