// The content of files and devices in memory. Pages that were never written are zero and use no memory.

export const PAGE_BYTES = 4096

/** The content of a file, a loop device or a mapped device. */
export interface Bytes {
  readonly sizeBytes: number
  read(offset: number, length: number): Uint8Array
  write(offset: number, content: Uint8Array): void
}

/** The sparse content of a file. */
export class SparseBytes implements Bytes {
  readonly #pages = new Map<number, Uint8Array>()
  #sizeBytes: number

  constructor(sizeBytes: number) {
    this.#sizeBytes = sizeBytes
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  get allocatedBytes(): number {
    return this.#pages.size * PAGE_BYTES
  }

  grow(sizeBytes: number): void {
    this.#sizeBytes = Math.max(this.#sizeBytes, sizeBytes)
  }

  read(offset: number, length: number): Uint8Array {
    const content = new Uint8Array(length)
    // Of a long range that is hardly written, the pages are fewer than those that the range could have.
    const parts = this.#pages.size * PAGE_BYTES < length ? this.#writtenParts(offset, length) : pagesOf(offset, length)
    for (const [page, inPage, at, count] of parts) {
      const bytes = this.#pages.get(page)
      if (bytes) content.set(bytes.subarray(inPage, inPage + count), at)
    }
    return content
  }

  *#writtenParts(offset: number, length: number): Generator<Part> {
    for (const page of this.#pages.keys()) {
      const start = Math.max(offset, page * PAGE_BYTES)
      const end = Math.min(offset + length, (page + 1) * PAGE_BYTES)
      if (start < end) yield [page, start % PAGE_BYTES, start - offset, end - start]
    }
  }

  write(offset: number, content: Uint8Array): void {
    for (const [page, inPage, at, count] of pagesOf(offset, content.length)) {
      const bytes = this.#pages.get(page) ?? new Uint8Array(PAGE_BYTES)
      bytes.set(content.subarray(at, at + count), inPage)
      this.#pages.set(page, bytes)
    }
  }
}

/** A part of a range that is in one page: the page, the offset in the page, the offset in the range, and the length. */
type Part = [page: number, inPage: number, at: number, count: number]

/** Splits a range by pages. */
function* pagesOf(offset: number, length: number): Generator<Part> {
  for (let at = 0; at < length;) {
    const page = Math.floor((offset + at) / PAGE_BYTES)
    const inPage = (offset + at) % PAGE_BYTES
    const count = Math.min(PAGE_BYTES - inPage, length - at)
    yield [page, inPage, at, count]
    at += count
  }
}
