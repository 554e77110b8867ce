// Memory for pieces of data that is used again as soon as nobody uses the piece: of new memory, the kernel clears each page
// when it is first touched, and the garbage collector frees it late.

interface Piece {
  /** The number of users. The first user is the reader that fills the memory. */
  uses: number
  readonly free: (memory: Buffer) => void
}

/** The pieces in use. A piece whose users do not count is freed by the garbage collector, and not used again. */
const pieces = new WeakMap<ArrayBufferLike, Piece>()

/** Returns a source of memory for pieces of `bytes` bytes. */
export function reusedMemory(bytes: number): () => Buffer {
  const unused: Buffer[] = []
  const free = (memory: Buffer): void => void unused.push(memory)
  return () => {
    const memory = unused.pop() ?? Buffer.allocUnsafeSlow(bytes)
    pieces.set(memory.buffer, { uses: 1, free })
    return memory
  }
}

/** Counts one more user of a piece, or of a part of one. Ignores other memory. */
export function retain({ buffer }: Uint8Array): void {
  const piece = pieces.get(buffer)
  if (piece) piece.uses += 1
}

/** Counts one user less. After the last one, the memory has other content. Ignores other memory. */
export function release({ buffer }: Uint8Array): void {
  const piece = pieces.get(buffer)
  if (!piece || --piece.uses > 0) return
  pieces.delete(buffer)
  piece.free(Buffer.from(buffer as ArrayBuffer))
}
