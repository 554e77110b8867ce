// Goes through an archive entry by entry, up to the blocks of zeros that end it.
import { beyond, malformed } from './tar-errors.js'
import { HeaderParser, type TarHeader, type TarLibrary } from './tar-library.js'
import { checkGlobal, checkSum, lengthOf, NO_RECORDS, PaxRecords } from './pax-reader.js'
import { BLOCK_BYTES, padding, type TarReader } from './tar-reader.js'

/** Names, links, attributes and maps of one entry together, with the blocks that announce them. */
const MOST_HEADER_BYTES = 1024 * 1024

const ZEROS = Buffer.alloc(BLOCK_BYTES)

/** Typeflags of what stands in front of an entry. */
const EXTENDED = 0x78
const GLOBAL = 0x67
const GNU_LONG = new Set(Buffer.from('KLN'))

export interface FoundEntry {
  readonly header: TarHeader
  /** The entry's own block. */
  readonly block: Buffer
  readonly records: PaxRecords
}

export class TarEntries {
  readonly #library: TarLibrary
  readonly #reader: TarReader
  /** Whether the archive said where it ends, as those do that are whole. */
  endMarked = false

  constructor(library: TarLibrary, reader: TarReader) {
    this.#library = library
    this.#reader = reader
  }

  /** The next entry's headers; its content follows in the reader. Undefined at the end. */
  async next(): Promise<FoundEntry | undefined> {
    const parser = new HeaderParser(this.#library)
    let records = NO_RECORDS
    for (let bytes = 0; ;) {
      const block = this.#reader.at(BLOCK_BYTES) ?? (await this.#reader.exactly(BLOCK_BYTES))
      if (block === undefined || block.equals(ZEROS)) {
        if (bytes > 0) throw malformed('the archive is cut off: it ends within the headers of an entry')
        if (block !== undefined) await this.#end()
        return undefined
      }
      const flag = block[156]!
      if (flag !== EXTENDED && flag !== GLOBAL && !GNU_LONG.has(flag)) {
        return { header: await parser.entry(block), block, records }
      }
      checkSum(block)
      const length = lengthOf(block)
      const body = length + padding(length)
      bytes += BLOCK_BYTES + body
      if (bytes > MOST_HEADER_BYTES) throw beyond('an entry has more than 1 MiB of headers')
      const content = await this.#reader.exactly(body)
      if (content === undefined) throw malformed('the archive is cut off: it ends within the headers of an entry')
      if (GNU_LONG.has(flag)) await parser.longName(block, content)
      else if (flag === GLOBAL) checkGlobal(new PaxRecords(content.subarray(0, length)))
      else records = new PaxRecords(content.subarray(0, length))
    }
  }

  /** One block of zeros has been read. A second one belongs to it, if anything follows at all. */
  async #end(): Promise<void> {
    this.endMarked = true
    const second = await this.#reader.exactly(BLOCK_BYTES)
    if (second !== undefined && !second.equals(ZEROS)) throw malformed('a block of zeros lies between two entries')
  }
}
