// Bookmark files: writer and reader.
import { createHash, randomUUID } from 'node:crypto'
import { constants, open, rename, rm, type FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { throwIfAborted } from '../../base/errors.js'
import { fileFault } from '../../base/file-fault.js'
import type { MappedRange } from '../../metadata/ranges.js'
import { chunksOf, rangesIn, type ChunkSource } from './chunks.js'
import {
  DIGEST_BYTES,
  formatHeader,
  headerLength,
  invalidBookmark,
  parseHeader,
  PREFIX_BYTES,
  type BookmarkHeader,
} from './format.js'

type Signal = AbortSignal | undefined

/** The length of one read of the verification. */
const PIECE_BYTES = 2 ** 20

/**
 * Writes a bookmark, which replaces a file of this path when it is complete and on disk. Returns its length in bytes.
 * Deletes what it has written if it fails.
 */
export async function writeBookmark(
  file: string,
  header: BookmarkHeader,
  ranges: AsyncIterable<MappedRange>,
  signal: Signal,
): Promise<number> {
  const partial = `${file}.${randomUUID()}.partial`
  try {
    const handle = await open(partial, 'wx', 0o600)
    let bytes = 0
    try {
      const hash = createHash('sha256')
      const put = async (piece: Uint8Array) => {
        await handle.appendFile(piece)
        bytes += piece.length
      }
      for await (const piece of piecesOf(header, ranges)) {
        throwIfAborted(signal)
        hash.update(piece)
        await put(piece)
      }
      await put(hash.digest())
      await handle.datasync()
    } finally {
      await handle.close()
    }
    throwIfAborted(signal)
    await rename(partial, file)
    await syncFolder(path.dirname(file))
    return bytes
  } catch (fault) {
    await rm(partial, { force: true }).catch(() => {})
    throw fileFault('bookmark', file, fault)
  }
}

async function* piecesOf(header: BookmarkHeader, ranges: AsyncIterable<MappedRange>): AsyncGenerator<Buffer, void> {
  yield formatHeader(header)
  yield* chunksOf(ranges)
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** A bookmark file that is open, and whose digest was verified. */
export class BookmarkFile {
  readonly #handle: FileHandle
  readonly #path: string
  readonly #begin: number
  readonly #end: number
  readonly header: BookmarkHeader

  private constructor(handle: FileHandle, path: string, header: BookmarkHeader, span: { begin: number; end: number }) {
    this.#handle = handle
    this.#path = path
    this.#begin = span.begin
    this.#end = span.end
    this.header = header
  }

  /** Opens a bookmark and verifies its digest. Rejects with `DM_BOOKMARK_INVALID`, `DM_FILE_MISSING`, `ABORT_ERR`. */
  static async open(file: string, signal: Signal): Promise<BookmarkFile> {
    // Without O_NONBLOCK, opening a pipe waits for its writer.
    const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK).catch((fault: unknown) => {
      throw fileFault('bookmark', file, fault)
    })
    try {
      const stat = await handle.stat()
      if (!stat.isFile()) throw invalidBookmark('damaged', file, 'it is not a file')
      const end = stat.size - DIGEST_BYTES
      const prefix = await readAt(handle, 0, Math.max(0, Math.min(PREFIX_BYTES, end)))
      const begin = PREFIX_BYTES + headerLength(prefix, file)
      if (begin > end) throw invalidBookmark('damaged', file, `it has only ${stat.size} bytes`)
      const digest = await digestOf(handle, end, signal)
      if (!digest.equals(await readAt(handle, end, DIGEST_BYTES))) {
        throw invalidBookmark('damaged', file, 'its digest is not that of its content')
      }
      const header = parseHeader(await readAt(handle, PREFIX_BYTES, begin - PREFIX_BYTES), file)
      return new BookmarkFile(handle, file, header, { begin, end })
    } catch (fault) {
      await handle.close()
      throw contentFault(file, fault)
    }
  }

  /** Yields the saved mappings. Throws `DM_BOOKMARK_INVALID`, `ABORT_ERR`. */
  async *ranges(signal: Signal): AsyncGenerator<MappedRange, void> {
    try {
      for await (const range of rangesIn(this.#source(signal))) {
        if (range.time >= this.header.snapshottedTime) throw new RangeError(`a mapping has time ${range.time}`)
        yield range
      }
    } catch (fault) {
      throw contentFault(this.#path, fault)
    }
  }

  close(): Promise<void> {
    return this.#handle.close()
  }

  #source(signal: Signal): ChunkSource {
    let at = this.#begin
    const end = this.#end
    return {
      get left() {
        return end - at
      },
      read: async length => {
        throwIfAborted(signal)
        if (length > end - at) throw new RangeError('it ends within a chunk')
        const bytes = await readAt(this.#handle, at, length)
        at += length
        return bytes
      },
    }
  }
}

async function digestOf(handle: FileHandle, end: number, signal: Signal): Promise<Buffer> {
  const hash = createHash('sha256')
  for (let at = 0; at < end; at += PIECE_BYTES) {
    throwIfAborted(signal)
    hash.update(await readAt(handle, at, Math.min(PIECE_BYTES, end - at)))
  }
  return hash.digest()
}

async function readAt(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  for (let have = 0; have < length;) {
    const { bytesRead } = await handle.read(bytes, have, length - have, position + have)
    if (bytesRead === 0) throw new RangeError('it was truncated while it was read')
    have += bytesRead
  }
  return bytes
}

/** Returns the error of the library for an error of a read: of the decoder, of zlib, or of the file system. */
function contentFault(file: string, fault: unknown): unknown {
  const { code = '', message } = fault as NodeJS.ErrnoException
  const isDamage =
    fault instanceof RangeError || /^(Z_DATA_ERROR|Z_BUF_ERROR|Z_NEED_DICT|ERR_BUFFER_TOO_LARGE)$/.test(code)
  return isDamage ? invalidBookmark('damaged', file, message, fault) : fileFault('bookmark', file, fault)
}
