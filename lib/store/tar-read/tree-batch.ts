// Batches of entries to write, packed in the format of native/tree/write_batch.h.
import { release, retain } from '../../base/reused-memory.js'
import { ENTRY_TYPES, type TarEntry } from './entry-reader.js'

const KIND = { entry: 1, data: 2, chunk: 3, end: 4, whiteout: 5, opaque: 6 } as const
/** The flag of an entry whose content follows in separate records, up to an `end`. */
const MORE = 1
const ENTRY_BYTES = 84
const DATA_BYTES = 16

/** Returns the maximum length of an entry without its content. */
export function entryBytes(entry: TarEntry): number {
  let bytes = ENTRY_BYTES + entry.parent.length + entry.name.length + entry.link.length + 3
  for (const [name, value] of entry.xattrs) bytes += 9 + name.length + value.length
  return bytes
}

/** A batch of a fixed capacity. */
export class TreeBatch {
  readonly #bytes: Buffer
  #at = 0
  /** The content that is not copied into the batch: see `chunk`. */
  readonly chunks: Uint8Array[] = []
  #chunkBytes = 0

  constructor(capacity: number) {
    this.#bytes = Buffer.allocUnsafeSlow(capacity)
  }

  get empty(): boolean {
    return this.#at === 0
  }

  get chunkBytes(): number {
    return this.#chunkBytes
  }

  /** The packed bytes; valid until `clear`. */
  get packed(): Uint8Array {
    return this.#bytes.subarray(0, this.#at)
  }

  fits(bytes: number): boolean {
    return this.#at + bytes <= this.#bytes.length
  }

  /** Empties the batch, which has been written. */
  clear(): void {
    this.#at = 0
    this.chunks.forEach(release)
    this.chunks.length = 0
    this.#chunkBytes = 0
  }

  /** Adds an entry. Returns memory for its content, which must be filled before the next record. `more`: records follow. */
  entry(entry: TarEntry, contentBytes: number, more: boolean): Buffer {
    this.#number(KIND.entry)
    this.#number(ENTRY_TYPES.indexOf(entry.type))
    this.#number(more ? MORE : 0)
    this.#number(entry.mode)
    this.#number(entry.uid)
    this.#number(entry.gid)
    this.#number(entry.major)
    this.#number(entry.minor)
    this.#long(entry.modified.seconds)
    this.#long(entry.accessed.seconds)
    this.#number(entry.modified.nanoseconds)
    this.#number(entry.accessed.nanoseconds)
    this.#number(entry.parent.length)
    this.#number(entry.name.length)
    this.#number(entry.link.length)
    const lengthOfAttributes = this.#at
    this.#number(0)
    this.#number(contentBytes)
    this.#text(entry.parent)
    this.#text(entry.name)
    this.#text(entry.link)
    const attributes = this.#at
    for (const [name, value] of entry.xattrs) this.#attribute(name, value)
    this.#bytes.writeUInt32LE(this.#at - attributes, lengthOfAttributes)
    this.#at += contentBytes
    return this.#bytes.subarray(this.#at - contentBytes, this.#at)
  }

  data(offset: number, bytes: Uint8Array): void {
    this.#number(KIND.data)
    this.#number(bytes.length)
    this.#long(offset)
    this.#bytes.set(bytes, this.#at)
    this.#at += bytes.length
  }

  /** Adds content without a copy. The bytes must not change until the batch has been written. */
  chunk(offset: number, bytes: Uint8Array): void {
    this.#number(KIND.chunk)
    this.#number(this.chunks.length)
    this.#long(offset)
    retain(bytes)
    this.chunks.push(bytes)
    this.#chunkBytes += bytes.length
  }

  end(sizeBytes: number): void {
    this.#number(KIND.end)
    this.#number(0)
    this.#long(sizeBytes)
  }

  whiteout(parent: string, name: string): void {
    this.#number(KIND.whiteout)
    this.#number(parent.length)
    this.#number(name.length)
    this.#text(parent)
    this.#text(name)
  }

  opaque(directory: string): void {
    this.#number(KIND.opaque)
    this.#number(directory.length)
    this.#text(directory)
  }

  #attribute(name: string, value: Buffer): void {
    this.#number(name.length)
    this.#number(value.length)
    this.#text(name)
    this.#bytes.set(value, this.#at)
    this.#at += value.length
  }

  #number(value: number): void {
    this.#at = this.#bytes.writeUInt32LE(value, this.#at)
  }

  /** Writes a number of 64 bits, in two's complement. */
  #long(value: number): void {
    const high = Math.floor(value / 2 ** 32)
    this.#at = this.#bytes.writeUInt32LE(value - high * 2 ** 32, this.#at)
    this.#at = this.#bytes.writeInt32LE(high, this.#at)
  }

  #text(bytes: string): void {
    this.#at += this.#bytes.write(bytes, this.#at, 'latin1')
    this.#at = this.#bytes.writeUInt8(0, this.#at)
  }
}

/** Returns the length of a `whiteout` or `opaque` record. */
export const removalBytes = (parent: string, name: string): number => 14 + parent.length + name.length
export const RECORD_BYTES = DATA_BYTES
