// The bytes of archives, which are given as the path of a file or as a stream.
import { open, type FileHandle } from 'node:fs/promises'
import { fileFault } from '../../base/file-fault.js'
import { checkPath, invalid, shown } from '../../base/options.js'
import { reusedMemory } from '../../base/reused-memory.js'
import { MiB } from '../../base/units.js'

/** The bytes of one read. Each read has the same overhead, and a stream of Node reads a sixteenth of this. */
const READ_BYTES = 1 * MiB

/**
 * Yields the content of a file, and reads one piece ahead. The memory of a piece is used again if its users are counted: see
 * `reusedMemory`. Rejects with `DM_FILE_MISSING`, `DM_PERMISSION`, `DM_KERNEL` (EISDIR, EIO …).
 */
export async function* fileChunks(path: string, readBytes = READ_BYTES): AsyncGenerator<Uint8Array, void> {
  const file = await open(path).catch((fault: unknown) => refuse(path, fault))
  try {
    yield* chunksOf({ file, path, readBytes, at: null, lengthBytes: Infinity })
  } finally {
    await file.close()
  }
}

/** A part of an open file. */
export interface FilePart {
  readonly file: FileHandle
  /** The path of the file, for errors. */
  readonly path: string
  readonly offsetBytes: number
  readonly lengthBytes: number
}

/** Yields the bytes of a part of a file as `fileChunks` does, and fewer if the file ends before them. */
export function partChunks({ offsetBytes: at, ...part }: FilePart): AsyncGenerator<Uint8Array, void> {
  return chunksOf({ ...part, at, readBytes: Math.min(READ_BYTES, part.lengthBytes) })
}

interface Reading extends Omit<FilePart, 'offsetBytes'> {
  readonly readBytes: number
  /** The offset; null to read on where the file is, which pipes need. */
  readonly at: number | null
}

async function* chunksOf(reading: Reading): AsyncGenerator<Uint8Array, void> {
  const { file, path, readBytes } = reading
  const memory = reusedMemory(readBytes)
  let { at, lengthBytes: left } = reading
  const read = async (): Promise<Buffer> => {
    const piece = memory()
    const length = Math.min(piece.length, left)
    const { bytesRead } = await file.read(piece, 0, length, at).catch((fault: unknown) => refuse(path, fault))
    left -= bytesRead
    if (at !== null) at += bytesRead
    return piece.subarray(0, bytesRead)
  }
  let next = read()
  try {
    for (let piece = await next; piece.length > 0; piece = await next) {
      next = read()
      next.catch(() => {}) // it is awaited later, or nobody reads on
      yield piece
    }
  } finally {
    await next.catch(() => {})
  }
}

function refuse(path: string, fault: unknown): never {
  throw fileFault('archive', path, fault)
}

/** Returns the chunks of an archive that is given by its path or as a stream. Throws `DM_INVALID_ARGUMENT`. */
export function archiveChunks(archive: string | AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  if (typeof archive === 'string') return fileChunks(checkPath('archive', archive))
  if (typeof (archive as Partial<typeof archive> | null)?.[Symbol.asyncIterator] === 'function') return archive
  throw invalid(`archive must be a path, or iterable by "for await", but is ${shown(archive)}`)
}

/** A stream, with the fact whether it has delivered data. */
export class WatchedStream {
  /** True if the stream has delivered data. If false, nothing of the stream can have been written. */
  hasGiven = false
  /** The wrapped stream. */
  readonly stream: AsyncIterable<Uint8Array>

  constructor(stream: AsyncIterable<Uint8Array>) {
    this.stream = this.#watched(stream)
  }

  async *#watched(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of stream) {
      this.hasGiven = true
      yield chunk
    }
  }
}
