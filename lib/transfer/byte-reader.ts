// Reads of an exact length from a stream of pieces of any length.
import { DmThinError } from '../base/errors.js'
import { withOwnSignal } from '../base/own-signal.js'
import { invalidTransfer } from './format.js'
import { isOwnStream } from './write-stream.js'

/** A source of bytes: a Readable, a web stream, or any other iterable of pieces. */
export type ByteSource = AsyncIterable<Uint8Array>

export class ByteReader {
  readonly #source: ByteSource
  readonly #pieces: AsyncIterator<Uint8Array>
  readonly #stop = new AbortController()
  readonly #signal: AbortSignal
  #rest: Uint8Array = new Uint8Array()

  constructor(source: ByteSource, signal: AbortSignal | undefined) {
    this.#source = source
    this.#pieces = source[Symbol.asyncIterator]()
    this.#signal = signal ? AbortSignal.any([signal, this.#stop.signal]) : this.#stop.signal
  }

  /** The number of bytes that arrived with those that were read. */
  get left(): number {
    return this.#rest.length
  }

  /** Fills a buffer. Rejects with `DM_TRANSFER_INVALID` if the source ends or fails before, `ABORT_ERR`. */
  async fill<T extends Uint8Array>(buffer: T): Promise<T> {
    for (let at = 0; at < buffer.length;) {
      if (this.#rest.length === 0) this.#rest = await this.#next()
      const piece = this.#rest.subarray(0, buffer.length - at)
      buffer.set(piece, at)
      at += piece.length
      this.#rest = this.#rest.subarray(piece.length)
    }
    return buffer
  }

  /** Ends the read in progress, which rejects with `ABORT_ERR`. */
  stop(): void {
    this.#stop.abort()
  }

  /**
   * Ends the use of a source whose last byte was read. Waits until a stream of this library is closed, because only then is
   * its volume as before. Any other source may stay open. What fails then is an error of that stream.
   */
  async end(): Promise<void> {
    const source = this.#source
    if (!isOwnStream(source)) return
    await this.#pieces.next().catch(() => {})
    if (!source.closed) await new Promise(resolve => source.once('close', resolve))
  }

  /** Ends the source. Does not wait for it: a source that waits for data itself may never answer. */
  close(): void {
    const { destroy } = this.#source as { destroy?: () => void }
    if (typeof destroy === 'function') destroy.call(this.#source)
    else this.#pieces.return?.().catch(() => {})
  }

  async #next(): Promise<Uint8Array> {
    const next = await withOwnSignal(this.#pieces.next(), this.#signal).catch((fault: unknown) => {
      if (fault instanceof DmThinError) throw fault
      throw invalidTransfer('source', `the source of the stream has failed: ${String(fault)}`, fault)
    })
    if (next.done) throw invalidTransfer('truncated', 'the stream ends before its last record')
    if (next.value instanceof Uint8Array) return next.value
    throw invalidTransfer('source', 'the source of the stream has a piece that is not bytes')
  }
}
