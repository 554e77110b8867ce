// The reader of bbolt databases, the key-value store of containerd's records: a B+tree of pages in one file. It reads a copy
// in memory, and checks every offset. Facts: bbolt's own sources, format version 2.
import { DmThinError } from '../../base/errors.js'

const MAGIC = 0xed0cdaed
const VERSION = 2
const FLAG = { branch: 0x01, leaf: 0x02 } as const
const BUCKET = 0x01
const HEADER_BYTES = 16
const ELEMENT_BYTES = 16
const BUCKET_BYTES = 16
/** The limit for the depth of a tree. A tree whose pages have two children each cannot be as deep. */
const MAX_DEPTH = 64
/** The possible offsets of the second header page, which has the page size if the first header page is damaged. */
const PAGE_SIZES = [4096, 8192, 16_384, 32_768, 65_536]

interface Header {
  readonly pageBytes: number
  readonly root: bigint
  readonly transaction: bigint
}

/** A value, or a nested bucket. */
type BoltEntry = { readonly value: Buffer } | { readonly bucket: Bucket }

/** A bucket: values and nested buckets by name. */
export class Bucket {
  readonly #file: Buffer
  readonly #pageBytes: number
  readonly #root: bigint
  readonly #inline: Buffer | undefined

  /** @internal */
  constructor(file: Buffer, pageBytes: number, root: bigint, inline?: Buffer) {
    this.#file = file
    this.#pageBytes = pageBytes
    this.#root = root
    this.#inline = inline
  }

  /** Returns the entries, in the order of the bytes of their keys. */
  *entries(): Generator<[key: string, BoltEntry]> {
    // No page is in a tree twice. A tree with more pages than the file has a cycle.
    const left = { pages: this.#file.length / this.#pageBytes }
    yield* this.#inline ? this.#leaf(this.#inline) : this.#page(this.#root, left, 0)
  }

  value(name: string): Buffer | undefined {
    const found = this.#find(name)
    return found && 'value' in found ? found.value : undefined
  }

  bucket(name: string): Bucket | undefined {
    const found = this.#find(name)
    return found && 'bucket' in found ? found.bucket : undefined
  }

  /** Searches all entries, because the buckets that are searched are small. */
  #find(name: string): BoltEntry | undefined {
    for (const [key, entry] of this.entries()) if (key === name) return entry
    return undefined
  }

  *#page(id: bigint, left: { pages: number }, depth: number): Generator<[string, BoltEntry]> {
    const start = id * BigInt(this.#pageBytes)
    left.pages -= 1
    if (left.pages < 0 || depth > MAX_DEPTH || start + BigInt(this.#pageBytes) > BigInt(this.#file.length))
      throw damaged(`page ${id}`)
    const first = this.#file.subarray(Number(start))
    const bytes = (first.readUInt32LE(12) + 1) * this.#pageBytes
    if (first.readBigUInt64LE(0) !== id || bytes > first.length) throw damaged(`page ${id}`)
    const page = first.subarray(0, bytes)
    const flags = page.readUInt16LE(8)
    if (flags === FLAG.leaf) yield* this.#leaf(page)
    else if (flags === FLAG.branch) for (const child of children(page)) yield* this.#page(child, left, depth + 1)
    else throw damaged(`page ${id}`)
  }

  *#leaf(page: Buffer): Generator<[string, BoltEntry]> {
    for (const { element, at } of elements(page)) {
      const keyBytes = element.readUInt32LE(8)
      const key = slice(page, at + element.readUInt32LE(4), keyBytes)
      const value = slice(page, at + element.readUInt32LE(4) + keyBytes, element.readUInt32LE(12))
      const isBucket = (element.readUInt32LE(0) & BUCKET) !== 0
      yield [key.toString('utf8'), isBucket ? { bucket: this.#below(value) } : { value }]
    }
  }

  /** Returns a nested bucket. A small bucket is a page inside the value of its parent. */
  #below(value: Buffer): Bucket {
    if (value.length < BUCKET_BYTES) throw damaged('a bucket')
    const root = value.readBigUInt64LE(0)
    if (root !== 0n) return new Bucket(this.#file, this.#pageBytes, root)
    const inline = value.subarray(BUCKET_BYTES)
    if (inline.length < HEADER_BYTES || inline.readUInt16LE(8) !== FLAG.leaf) throw damaged('a bucket')
    return new Bucket(this.#file, this.#pageBytes, 0n, inline)
  }
}

/** Returns the root of the last transaction. Throws `DM_STORE_DATABASE` if `file` is not a valid bbolt database. */
export function boltRoot(file: Buffer): Bucket {
  const { pageBytes, root } = newest(file)
  return new Bucket(file, pageBytes, root)
}

/** Returns the id of the last transaction. Its pages do not change before the second transaction after it begins. */
export const boltTransaction = (file: Buffer): bigint => newest(file).transaction

function newest(file: Buffer): Header {
  const headers = [0, ...PAGE_SIZES].flatMap(at => headerAt(file, at) ?? [])
  const [first, ...others] = headers
  if (!first) throw damaged('both of its header pages')
  return others.reduce((best, header) => (header.transaction > best.transaction ? header : best), first)
}

function headerAt(file: Buffer, at: number): Header | undefined {
  if (file.length < at + 80) return undefined
  const meta = file.subarray(at + HEADER_BYTES, at + 80)
  if (meta.readUInt32LE(0) !== MAGIC || meta.readUInt32LE(4) !== VERSION) return undefined
  if (meta.readBigUInt64LE(56) !== fnv1a(meta.subarray(0, 56))) return undefined
  const pageBytes = meta.readUInt32LE(8)
  if (!PAGE_SIZES.includes(pageBytes) || (at > 0 && pageBytes !== at)) return undefined
  return { pageBytes, root: meta.readBigUInt64LE(16), transaction: meta.readBigUInt64LE(48) }
}

function* elements(page: Buffer): Generator<{ element: Buffer; at: number }> {
  const count = page.readUInt16LE(10)
  for (let index = 0; index < count; index += 1) {
    const at = HEADER_BYTES + index * ELEMENT_BYTES
    yield { element: slice(page, at, ELEMENT_BYTES), at }
  }
}

function* children(page: Buffer): Generator<bigint> {
  for (const { element } of elements(page)) yield element.readBigUInt64LE(8)
}

function slice(page: Buffer, start: number, bytes: number): Buffer {
  if (start + bytes > page.length) throw damaged('a page')
  return page.subarray(start, start + bytes)
}

function fnv1a(bytes: Buffer): bigint {
  let hash = 0xcbf29ce484222325n
  for (const byte of bytes) hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn
  return hash
}

const damaged = (what: string): DmThinError =>
  new DmThinError('DM_STORE_DATABASE', `not a valid bbolt database: ${what}`)
