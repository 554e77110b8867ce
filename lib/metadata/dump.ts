// Metadata in the XML of thin_dump, which thin_restore reads.
import type { ThinDevice } from './details.js'
import type { MappedRange } from './ranges.js'
import type { Superblock } from './superblock.js'

/** The length of a piece of text, in characters, at which it is passed on. */
const PIECE = 2 ** 16

/** The metadata that is dumped. */
export interface Dumped {
  readonly superblock: Superblock
  readonly devices: readonly ThinDevice[]
  readonly mappings: (id: number) => AsyncIterable<MappedRange>
}

/** Yields the text in pieces. Each volume has its mappings in full, also those that it shares with others. */
export async function* dumpXml({ superblock, devices, mappings }: Dumped): AsyncGenerator<string, void> {
  let text = `${superblockXml(superblock)}\n`
  for (const device of devices) {
    text += `  ${deviceXml(device)}\n`
    for await (const range of mappings(device.id)) {
      text += `    ${mappingXml(range)}\n`
      if (text.length < PIECE) continue
      yield text
      text = ''
    }
    text += '  </device>\n'
  }
  yield `${text}</superblock>\n`
}

const superblockXml = ({ time, transactionId, dataBlockSizeSectors, dataSpaceMap }: Superblock): string =>
  `<superblock uuid="" time="${time}" transaction="${transactionId}" version="2" ` +
  `data_block_size="${dataBlockSizeSectors}" nr_data_blocks="${dataSpaceMap.blocks}">`

const deviceXml = ({ id, mappedBlocks, transactionId, creationTime, snapshottedTime }: ThinDevice): string =>
  `<device dev_id="${id}" mapped_blocks="${mappedBlocks}" transaction="${transactionId}" ` +
  `creation_time="${creationTime}" snap_time="${snapshottedTime}">`

const mappingXml = ({ begin, length, data, time }: MappedRange): string =>
  length === 1
    ? `<single_mapping origin_block="${begin}" data_block="${data}" time="${time}"/>`
    : `<range_mapping origin_begin="${begin}" data_begin="${data}" length="${length}" time="${time}"/>`
