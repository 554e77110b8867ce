// A wrapper of a stream that records whether the stream has delivered data.
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
