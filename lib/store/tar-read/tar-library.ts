// tar-stream, which reads the headers of archives. It is installed by those who unpack layers, and loaded when the first
// one comes.
import { loadTarStream } from '../common/tar-stream.js'
import { malformed } from './tar-errors.js'

/** What is used of a header, as tar-stream gives it. With `latin1` each character of a name is a byte. */
export interface TarHeader {
  readonly name: string
  /** Null for a kind that it does not know. */
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

/** Rejects with `DM_STORE_DEPENDENCY` where the package is not installed. */
export async function tarLibrary(): Promise<TarLibrary> {
  return (await loadTarStream()) as unknown as TarLibrary
}

/**
 * Reads the own block of one entry, and names of GNU tar in front of it. It never sees content or extended headers, and
 * lives no longer than for one entry.
 */
export class HeaderParser {
  readonly #extract: Extract
  #header: TarHeader | undefined
  #settle: ((fault?: Error) => void) | undefined

  constructor(library: TarLibrary) {
    // With a mark of 0 every write is answered by a `drain`: more is wanted.
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
    if (this.#header === undefined) throw malformed('the headers in front of an entry do not end where it begins')
    return this.#header
  }

  async #add(bytes: Buffer): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#settle = fault => {
        if (fault === undefined) return resolve()
        reject(malformed(`the archive is none, or damaged: ${fault.message}`, { cause: fault }))
      }
      this.#extract.write(bytes)
    })
  }
}
