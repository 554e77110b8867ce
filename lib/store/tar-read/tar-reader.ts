// The reader of an archive's bytes: whole blocks, and available pieces of a file's content.
import { release } from '../../base/reused-memory.js'
import { malformed } from './tar-errors.js'

export const BLOCK_BYTES = 512

/** Returns the length of the padding after so many bytes. */
export const padding = (bytes: number): number => (BLOCK_BYTES - (bytes % BLOCK_BYTES)) % BLOCK_BYTES

/** The reader of one archive. What it returns is valid until the next call: the memory may be used again. */
export class TarReader {
  readonly #chunks: AsyncIterator<Buffer>
  #chunk: Buffer = Buffer.alloc(0)
  #at = 0

  constructor(chunks: AsyncIterator<Buffer>) {
    this.#chunks = chunks
  }

  /** Returns `length` bytes if they are in one chunk, which is usual. If undefined, call `exactly`. */
  at(length: number): Buffer | undefined {
    const end = this.#at + length
    if (end > this.#chunk.length) return undefined
    const taken = this.#chunk.subarray(this.#at, end)
    this.#at = end
    return taken
  }

  /** Returns one to `most` bytes, if any are available. If undefined, call `some`. */
  here(most: number): Buffer | undefined {
    const length = Math.min(most, this.#chunk.length - this.#at)
    return length === 0 ? undefined : this.at(length)
  }

  /** Reads `length` bytes. Returns undefined at the end of the stream. Rejects with `DM_LAYER_TAR` if it ends before them. */
  async exactly(length: number): Promise<Buffer | undefined> {
    const pieces: Buffer[] = []
    let left = length
    while (left > 0) {
      const piece = this.here(left)
      if (piece === undefined) {
        if (await this.#next()) continue
        if (left === length) return undefined
        throw malformed('the archive is cut off: it ends within a block')
      }
      left -= piece.length
      if (left === 0 && pieces.length === 0) return piece
      pieces.push(Buffer.from(piece))
    }
    return Buffer.concat(pieces)
  }

  /** Reads one to `most` bytes. Rejects with `DM_LAYER_TAR` at the end of the stream. */
  async some(most: number): Promise<Buffer> {
    for (;;) {
      const piece = this.here(most)
      if (piece !== undefined) return piece
      if (!(await this.#next())) throw malformed('the archive is cut off: it ends within the content of a file')
    }
  }

  async skip(length: number): Promise<void> {
    for (let left = length; left > 0;) {
      left -= (this.here(left) ?? (await this.some(left))).length
    }
  }

  /** Reads the rest of the stream. Rejects with `tooMany()` if it has more than `most` bytes. */
  async drain(most: number, tooMany: () => Error): Promise<void> {
    let left = most
    do {
      left -= this.#chunk.length - this.#at
      this.#at = this.#chunk.length
      if (left < 0) throw tooMany()
    } while (await this.#next())
  }

  async #next(): Promise<boolean> {
    const next = await this.#chunks.next()
    if (next.done === true) return false
    release(this.#chunk)
    this.#chunk = next.value
    this.#at = 0
    return true
  }
}
