// Reading ahead: pieces of a stream are read into memory before their reader asks for them.

/**
 * Begins to read `source`, and stops as soon as at least `maxBytes` are in memory or the reader asks for the first piece. The
 * returned stream has all pieces of `source`, followed by its error if it fails. To end the reading, call `return` of
 * `source`.
 */
export function readAhead(
  source: AsyncGenerator<Buffer, void, undefined>,
  maxBytes: number,
): AsyncGenerator<Buffer, void, undefined> {
  const pieces: Buffer[] = []
  let isAwaited = false

  async function read(): Promise<void> {
    for (let bytes = 0; bytes < maxBytes && !isAwaited;) {
      const next = await source.next()
      if (next.done === true) return
      bytes += next.value.length
      pieces.push(next.value)
    }
  }

  async function* all(): AsyncGenerator<Buffer, void, undefined> {
    isAwaited = true
    const failed = await reading
    for (let piece = pieces.shift(); piece; piece = pieces.shift()) yield piece
    if (failed) throw failed.fault
    yield* source
  }

  // An error is kept until the pieces before it have been read.
  const reading = read().then(
    () => undefined,
    (fault: unknown) => ({ fault }),
  )
  return all()
}
