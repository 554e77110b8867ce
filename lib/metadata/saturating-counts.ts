// Counters of data blocks with two bits each.
const BLOCKS_PER_CHUNK = 2 ** 16
const BLOCKS_PER_BYTE = 4

/**
 * Counters with the values "none, one, more" for data blocks, two bits each: that is enough to tell shared from
 * exclusive.
 *
 * Chunks of 16 KiB are allocated at their first count, so the memory depends on the blocks that are mapped and not on
 * the size in a superblock: at most 2 bits per data block of the pool, plus a part of one chunk per run.
 */
export class SaturatingCounts {
  private readonly chunks = new Map<number, Uint8Array>()
  // Neighbouring mappings usually have neighbouring data blocks.
  private lastIndex = -1
  private lastChunk: Uint8Array | undefined

  increment(block: number): void {
    const index = Math.floor(block / BLOCKS_PER_CHUNK)
    let chunk = this.chunk(index)
    if (!chunk) {
      chunk = new Uint8Array(BLOCKS_PER_CHUNK / BLOCKS_PER_BYTE)
      this.chunks.set(index, chunk)
      this.lastChunk = chunk
    }
    const position = block % BLOCKS_PER_CHUNK
    const shift = (position & 3) * 2
    const byte = chunk[position >> 2]!
    if (((byte >> shift) & 3) < 2) chunk[position >> 2] = byte + (1 << shift)
  }

  /** Returns 0, 1, or 2 for anything more. */
  count(block: number): number {
    const chunk = this.chunk(Math.floor(block / BLOCKS_PER_CHUNK))
    const position = block % BLOCKS_PER_CHUNK
    return chunk ? (chunk[position >> 2]! >> ((position & 3) * 2)) & 3 : 0
  }

  private chunk(index: number): Uint8Array | undefined {
    if (index !== this.lastIndex) {
      this.lastIndex = index
      this.lastChunk = this.chunks.get(index)
    }
    return this.lastChunk
  }
}
