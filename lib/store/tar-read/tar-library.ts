// The parser of tar headers by tar-stream, an optional peer dependency that is loaded with the first layer.
import { loadTarStream } from '../common/tar-stream.js'
import { malformed } from './tar-errors.js'

/** The fields of tar-stream's header that are used. With `latin1`, each character of a name is a byte. */
export interface TarHeader {
  readonly name: string
  /** The type; null if tar-stream does not know it. */
  readonly type: string | null
  readonly linkname: string | null
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  readonly mtime: Date
  readonly devmajor: number
  readonly devminor: number
}

interface Extract {
  on(event: 'entry', listener: (header: TarHeader) => void): this
  on(event: 'drain', listener: () => void): this
  on(event: 'error', listener: (fault: Error) => void): this
  write(bytes: Uint8Array): boolean
}

interface ExtractOptions {
  filenameEncoding: 'latin1'
  allowUnknownFormat: boolean
  highWaterMark: number
}

export interface TarLibrary {
  extract(options: ExtractOptions): Extract
}

/** Loads tar-stream. Rejects with `DM_DEPENDENCY` if the package is not installed. */
export async function tarLibrary(): Promise<TarLibrary> {
  return (await loadTarStream()) as unknown as TarLibrary
}

/**
 * The parser for one entry: its header block, and the long names of GNU tar before it. Content and extended headers are never
 * passed to it.
 */
export class HeaderParser {
  readonly #extract: Extract
  #header: TarHeader | undefined
  #settle: ((fault?: Error) => void) | undefined

  constructor(library: TarLibrary) {
    // With a high-water mark of 0, every write is followed by `drain` if more data is needed.
    this.#extract = library.extract({ filenameEncoding: 'latin1', allowUnknownFormat: true, highWaterMark: 0 })
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

  async entry(block: Buffer): Promise<TarHeader> {
    await this.#add(block)
    if (this.#header === undefined) throw malformed('the extended headers of an entry do not end at its header')
    return this.#header
  }

  async #add(bytes: Buffer): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#settle = fault => {
        if (fault === undefined) return resolve()
        reject(malformed(`not a tar archive, or damaged: ${fault.message}`, { cause: fault }))
      }
      this.#extract.write(bytes)
    })
  }
}
