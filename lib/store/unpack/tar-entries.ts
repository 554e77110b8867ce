// Goes through an archive entry by entry, up to the blocks of zeros that end it.
import { beyond, malformed } from './tar-failure.js'
import { HeaderParser, type TarHeader, type TarLibrary } from './tar-library.js'
import { paxOf, type PaxRecords } from './tar-pax.js'
import { BLOCK_BYTES, type TarReader } from './tar-reader.js'

/** Names, links, attributes and maps of one entry together. */
const MOST_HEADER_BYTES = 8 * 1024 * 1024

const ZEROS = Buffer.alloc(BLOCK_BYTES)

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
    const blocks: Buffer[] = []
    for (;;) {
      const block = this.#reader.at(BLOCK_BYTES) ?? (await this.#reader.exactly(BLOCK_BYTES))
      if (block === undefined || (blocks.length === 0 && block.equals(ZEROS))) {
        if (blocks.length > 0) throw malformed('the archive is cut off: it ends within the headers of an entry')
        if (block !== undefined) await this.#end()
        return undefined
      }
      blocks.push(block)
      if (blocks.length * BLOCK_BYTES > MOST_HEADER_BYTES) throw beyond('an entry has more than 8 MiB of headers')
      const header = await parser.add(block)
      if (!header) continue
      return { header, block, records: blocks.length === 1 ? [] : paxOf(Buffer.concat(blocks)) }
    }
  }

  /** One block of zeros has been read. A second one belongs to it, if anything follows at all. */
  async #end(): Promise<void> {
    this.endMarked = true
    const second = await this.#reader.exactly(BLOCK_BYTES)
    if (second !== undefined && !second.equals(ZEROS)) throw malformed('a block of zeros lies between two entries')
  }
}
