// A stream of which it is known whether it has given anything yet.
export class WatchedStream {
  /** False: nothing that was made of the stream can have been written. */
  hasGiven = false
  /** The stream; what is not iterable by "for await" as it is, for its reader to refuse. */
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
