// A wrapper of a stream that records whether the stream has delivered data.
/** A stream, with the fact whether it has delivered data. */
export class WatchedStream {
  /** True if the stream has delivered data. If false, nothing of the stream can have been written. */
  hasGiven = false
  /** The wrapped stream. A value that is not iterable is passed on unchanged; its reader rejects it. */
  readonly stream: AsyncIterable<Uint8Array>

  constructor(stream: AsyncIterable<Uint8Array>) {
    const isStream = typeof (stream as Partial<typeof stream> | null)?.[Symbol.asyncIterator] === 'function'
    this.stream = isStream ? this.#watched(stream) : stream
  }

  async *#watched(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of stream) {
      this.hasGiven = true
      yield chunk
    }
  }
}
