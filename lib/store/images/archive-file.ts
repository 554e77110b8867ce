// An archive of an image that is read in place: only its headers are read to find its files, and each file is read at its
// offset in the archive.
import { open, type FileHandle } from 'node:fs/promises'
import { fileFault } from '../../base/file-fault.js'
import { partChunks } from '../tar-read/layer-file.js'
import { isCompressed, MAGIC_BYTES } from '../tar-read/layer-stream.js'
import { malformed } from '../tar-read/tar-errors.js'
import { indexArchive, type ArchiveLimits, type ArchiveReader, type ImageFile } from './archive-index.js'
import { asImageFault, Contents } from './contents.js'

/** The bytes of one read of headers. A header, and an extended header before it, have 1536 bytes or more. */
const READ_BYTES = 4096

/** Returns the files of an uncompressed archive, a regular file. Returns undefined if the archive is compressed. */
export async function archiveInPlace(path: string, limits: ArchiveLimits): Promise<Contents | undefined> {
  try {
    const file = await open(path)
    try {
      const found = await contentsOf(file, path, limits)
      if (!found) await file.close()
      return found
    } catch (fault) {
      await file.close()
      throw fault
    }
  } catch (fault) {
    throw fileFault('archive', path, asImageFault(fault))
  }
}

async function contentsOf(file: FileHandle, path: string, limits: ArchiveLimits): Promise<Contents | undefined> {
  const start = Buffer.alloc(MAGIC_BYTES)
  const { bytesRead } = await file.read(start, 0, MAGIC_BYTES, 0)
  if (isCompressed(start.subarray(0, bytesRead))) return undefined
  const { size } = await file.stat()
  const reader = new SeekingReader(file)
  const take = async (sizeBytes: number): Promise<ImageFile> => {
    const part = { file, path, offsetBytes: reader.position, lengthBytes: sizeBytes }
    if (part.offsetBytes + sizeBytes > size) throw malformed('the archive is cut off: it ends within a file')
    reader.skip(sizeBytes)
    return { sizeBytes, read: () => partChunks(part) }
  }
  return new Contents(await indexArchive(reader, take, limits), () => file.close())
}

/** A reader of headers, which does not read what is skipped. */
class SeekingReader implements ArchiveReader {
  readonly #file: FileHandle
  #bytes: Buffer = Buffer.alloc(0)
  /** The offset of `#bytes` in the file. */
  #bytesAt = 0
  /** The offset of what is read next. */
  position = 0

  constructor(file: FileHandle) {
    this.#file = file
  }

  at(length: number): Buffer | undefined {
    const from = this.position - this.#bytesAt
    if (from + length > this.#bytes.length) return undefined
    this.position += length
    return this.#bytes.subarray(from, from + length)
  }

  async exactly(length: number): Promise<Buffer | undefined> {
    const there = this.at(length)
    if (there) return there
    const bytes = Buffer.allocUnsafe(Math.max(length, READ_BYTES))
    const { bytesRead } = await this.#file.read(bytes, 0, bytes.length, this.position)
    this.#bytes = bytes.subarray(0, bytesRead)
    this.#bytesAt = this.position
    if (bytesRead === 0) return undefined
    const found = this.at(length)
    if (!found) throw malformed('the archive is cut off: it ends within a header')
    return found
  }

  skip(length: number): void {
    this.position += length
  }
}
