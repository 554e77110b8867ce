// The wrapper of tar-stream, an optional peer dependency that is loaded with the first archive: a parser of headers, and a
// packer that adds extended headers of any bytes, and backpressure.
import type * as tarStream from 'tar-stream'
import { dependency } from '../../base/optional-dependency.js'

export type TarStream = typeof tarStream

/** Loads tar-stream. Rejects with `DM_DEPENDENCY` if the package is not installed. */
export const loadTarStream = (): Promise<TarStream> => dependency('tar-stream', '^3.1.7', () => import('tar-stream'))

/** The fields of tar-stream's header that are used. In a header that was read, each character of a name is a byte. */
export interface TarHeader {
  readonly name: string
  /** The type; null if tar-stream does not know it. */
  readonly type: tarStream.Header['type'] | null
  /** The target of a link. Other entries have null or an empty text. */
  readonly linkname: string | null
  /** The mode. To write 0, add the bits of the file's type, because tar-stream replaces 0 by a default. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  readonly mtime: Date
  readonly devmajor: number
  readonly devminor: number
}

/** The options of the parser; the types of tar-stream omit most of them. */
const PARSING = {
  filenameEncoding: 'latin1',
  allowUnknownFormat: true,
  // Every write is followed by `drain` if more data is needed.
  highWaterMark: 0,
} as Parameters<TarStream['extract']>[0]

/**
 * The parser for one entry: its header block, and the long names of GNU tar before it. Content and extended headers are never
 * passed to it. Its calls reject with the errors of tar-stream.
 */
export class HeaderParser {
  readonly #extract: tarStream.Extract
  #header: TarHeader | undefined
  #settle: ((fault?: Error) => void) | undefined

  constructor(library: TarStream) {
    this.#extract = library.extract(PARSING)
    this.#extract.on('entry', header => {
      this.#header = header
      this.#settle?.()
    })
    this.#extract.on('drain', () => this.#settle?.())
    this.#extract.on('error', fault => this.#settle?.(fault))
  }

  async longName(block: Buffer, content: Buffer): Promise<void> {
    await this.#add(Buffer.concat([block, content]))
  }

  /** Returns the header in a block, or undefined if more blocks precede it. */
  async entry(block: Buffer): Promise<TarHeader | undefined> {
    await this.#add(block)
    return this.#header
  }

  async #add(bytes: Buffer): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#settle = fault => (fault === undefined ? resolve() : reject(fault))
      this.#extract.write(bytes)
    })
  }
}

/** The headers of an entry to write. */
interface Headers {
  readonly header: TarHeader
  /** The blocks of the extended header, which precede the header. */
  readonly pax: Buffer | undefined
}

/** The packer of one tar. */
export class TarPacker {
  readonly #pack: tarStream.Pack
  readonly #take: (chunk: Buffer | null) => boolean
  #full = false
  #closed = false
  #wake: (() => void) | undefined

  /** `take` receives the bytes of the tar, and null at the end. It returns whether it accepts more bytes immediately. */
  constructor(pack: tarStream.Pack, take: (chunk: Buffer | null) => boolean) {
    this.#pack = pack
    this.#take = take
    pack.on('data', (chunk: unknown) => {
      if (this.#take(chunk as Buffer)) return
      this.#full = true
      pack.pause()
    })
    pack.on('end', () => void this.#take(null))
    // The callback of each entry reports the error.
    pack.on('error', () => {})
  }

  /** Resumes the packer after `take` returned false. */
  resume(): void {
    this.#full = false
    this.#pack.resume()
    this.#wake?.()
  }

  /** Closes the packer. An `add` in progress fails. */
  destroy(): void {
    this.#closed = true
    this.#pack.destroy()
    this.#wake?.()
  }

  /** Waits until `take` accepts more bytes. */
  async room(): Promise<void> {
    while (this.#full && !this.#closed) await new Promise<void>(resolve => (this.#wake = resolve))
    this.#checkOpen()
  }

  /** Adds an entry. `content` must have the size of the header. Only one entry can be added at a time. */
  async add(entry: Headers, content: Buffer): Promise<void> {
    const { sink, added } = this.#begin(entry)
    if (entry.header.type === 'file') sink.end(content)
    await added
  }

  /** Adds an entry whose content is delivered in pieces. */
  async addInPieces(entry: Headers, pieces: AsyncIterable<Buffer>): Promise<void> {
    const { sink, added } = this.#begin(entry)
    added.catch(() => {})
    for await (const piece of pieces) sink.write(piece)
    sink.end(undefined)
    await added
  }

  finish(): void {
    this.#pack.finalize()
  }

  #begin({ header, pax }: Headers) {
    this.#checkOpen()
    // The previous entry is complete, so that these blocks are between the two entries.
    if (pax !== undefined) this.#pack.push(pax)
    let settle!: (fault?: Error | null) => void
    const added = new Promise<void>((resolve, reject) => (settle = fault => (fault ? reject(fault) : resolve())))
    const sink = this.#pack.entry({ ...header } as tarStream.Header, settle) // a copy, because tar-stream changes it
    sink.on('error', () => {})
    return { sink, added }
  }

  #checkOpen(): void {
    if (this.#closed) throw new Error('the tar was closed')
  }
}
