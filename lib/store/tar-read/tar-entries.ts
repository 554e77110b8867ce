// Iteration over the entries of an archive, up to the blocks of zeros at its end.
import { HeaderParser, type TarHeader, type TarStream } from '../common/tar-stream.js'
import { beyond, malformed } from './tar-errors.js'
import { checkGlobal, checkSum, lengthOf, NO_RECORDS, PaxRecords } from './pax-reader.js'
import { BLOCK_BYTES, padding, type TarReader } from './tar-reader.js'

/** The limit for the extended headers of one entry: names, links, attributes and maps. */
const MAX_HEADER_BYTES = 1024 * 1024

const ZEROS = Buffer.alloc(BLOCK_BYTES)

/** The typeflags of headers that precede an entry. */
const EXTENDED = 0x78
const GLOBAL = 0x67
const GNU_LONG = new Set(Buffer.from('KLN'))

export interface FoundEntry {
  readonly header: TarHeader
  /** The block of the entry's own header. */
  readonly block: Buffer
  readonly records: PaxRecords
}

/** The reader of headers. */
export type BlockReader = Pick<TarReader, 'at' | 'exactly'>

/** The entries of an archive. */
export class TarEntries {
  readonly #library: TarStream
  readonly #reader: BlockReader
  /** True if the end of the archive was marked, as in all complete archives. */
  endMarked = false

  constructor(library: TarStream, reader: BlockReader) {
    this.#library = library
    this.#reader = reader
  }

  /** Reads the headers of the next entry. Its content follows in the reader. Returns undefined at the end. */
  async next(): Promise<FoundEntry | undefined> {
    const parser = new HeaderParser(this.#library)
    let records = NO_RECORDS
    for (let bytes = 0; ;) {
      const found = this.#reader.at(BLOCK_BYTES) ?? (await this.#reader.exactly(BLOCK_BYTES))
      const block = found && Buffer.from(found)
      if (block === undefined || block.equals(ZEROS)) {
        if (bytes > 0) throw malformed('the archive is cut off: it ends within the headers of an entry')
        if (block !== undefined) await this.#end()
        return undefined
      }
      const flag = block[156]!
      if (flag !== EXTENDED && flag !== GLOBAL && !GNU_LONG.has(flag)) {
        const header = await parser.entry(block).catch(refuse)
        if (header === undefined) throw malformed('the extended headers of an entry do not end at its header')
        return { header, block, records }
      }
      checkSum(block)
      const length = lengthOf(block)
      const body = length + padding(length)
      bytes += BLOCK_BYTES + body
      if (bytes > MAX_HEADER_BYTES) throw beyond('an entry has more than 1 MiB of headers')
      const content = await this.#reader.exactly(body)
      if (content === undefined) throw malformed('the archive is cut off: it ends within the headers of an entry')
      if (GNU_LONG.has(flag)) await parser.longName(block, content).catch(refuse)
      else if (flag === GLOBAL) checkGlobal(new PaxRecords(content.subarray(0, length)))
      else records = new PaxRecords(Buffer.from(content.subarray(0, length)))
    }
  }

  /** Reads the second block of zeros after the first. It may be missing at the end of the stream. */
  async #end(): Promise<void> {
    this.endMarked = true
    const second = await this.#reader.exactly(BLOCK_BYTES)
    if (second !== undefined && !second.equals(ZEROS)) throw malformed('a block of zeros lies between two entries')
  }
}

function refuse(cause: unknown): never {
  throw malformed(`not a tar archive, or damaged: ${(cause as Error).message}`, { cause })
}
