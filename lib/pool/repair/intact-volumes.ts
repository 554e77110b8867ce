// The volumes of damaged metadata that can be read completely, as of its last commit.
import { open } from 'node:fs/promises'
import { hasCode } from '../../base/errors.js'
import { mappedDataBlock, mappedTime, MAPPING_BYTES } from '../../metadata/btree.js'
import { NodeReader, walkEntries } from '../../metadata/btree-walk.js'
import { readDevices, readMappingRoots, type ThinDevice } from '../../metadata/details.js'
import { dumpXml } from '../../metadata/dump.js'
import type { MappedRange } from '../../metadata/ranges.js'
import { corruptBlock } from '../../metadata/metadata-error.js'
import type { Superblock } from '../../metadata/superblock.js'
import { sourceOf, type AtRest } from '../check/examine-metadata.js'

/** The volumes of metadata whose superblock and list of volumes can be read. */
export class IntactVolumes {
  readonly #superblock: Superblock
  readonly #reader: NodeReader
  readonly #roots: ReadonlyMap<number, number>
  readonly #intact: readonly ThinDevice[]

  private constructor(
    superblock: Superblock,
    reader: NodeReader,
    roots: ReadonlyMap<number, number>,
    intact: readonly ThinDevice[],
  ) {
    this.#superblock = superblock
    this.#reader = reader
    this.#roots = roots
    this.#intact = intact
  }

  /** Reads all mappings. Returns undefined if the roots of the volumes cannot be read. */
  static async find(
    metadata: AtRest,
    superblock: Superblock,
    signal?: AbortSignal,
  ): Promise<IntactVolumes | undefined> {
    const metadataBlocks = superblock.metadataSpaceMap.blocks
    const reader = new NodeReader(sourceOf(metadata, signal), { metadataBlocks, signal })
    const roots = await readMappingRoots(reader, superblock).catch(undefinedIfCorrupt)
    if (!roots) return undefined
    const details = (await readDevices(reader, superblock).catch(undefinedIfCorrupt)) ?? []
    const known = new Map(details.map(volume => [volume.id, volume]))
    const intact: ThinDevice[] = []
    for (const [id, root] of roots) {
      const ranges = await readRanges(reader, superblock, root).catch(undefinedIfCorrupt)
      if (!ranges) continue
      const volume = known.get(id) ?? lostDetails(id, superblock)
      intact.push({ ...volume, mappedBlocks: ranges.reduce((sum, { length }) => sum + length, 0) })
    }
    return new IntactVolumes(superblock, reader, roots, intact)
  }

  /** Writes the intact volumes to a new file, in the XML that thin_restore reads. */
  async writeXml(file: string): Promise<void> {
    const ranges = (id: number) => readRanges(this.#reader, this.#superblock, this.#roots.get(id)!)
    const mappings = async function* (id: number) {
      yield* await ranges(id)
    }
    const handle = await open(file, 'w', 0o600)
    try {
      const dumped = { superblock: this.#superblock, devices: this.#intact, mappings }
      for await (const piece of dumpXml(dumped)) await handle.write(piece)
    } finally {
      await handle.close()
    }
  }
}

/** Returns the mappings of one volume. Throws `DM_METADATA_CORRUPT` if one cannot be read. */
async function readRanges(reader: NodeReader, superblock: Superblock, root: number): Promise<MappedRange[]> {
  const ranges: { begin: number; length: number; data: number; time: number }[] = []
  const dataBlocks = superblock.dataSpaceMap.blocks
  await walkEntries(reader, root, MAPPING_BYTES, (begin, node, index) => {
    const data = mappedDataBlock(node, index)
    if (data >= dataBlocks) throw corruptBlock(node.block, `a mapping to data block ${data} of ${dataBlocks}`)
    const time = mappedTime(node, index)
    const last = ranges.at(-1)
    const follows = last && last.begin + last.length === begin && last.data + last.length === data
    if (follows && last.time === time) last.length += 1
    else ranges.push({ begin, length: 1, data, time })
  })
  return ranges
}

function undefinedIfCorrupt(fault: unknown): undefined {
  if (!hasCode(fault, 'DM_METADATA_CORRUPT')) throw fault
}

/**
 * Returns details in place of those that are lost. With the present snapshot clock, the kernel copies each block that may
 * be shared before it writes it.
 */
const lostDetails = (id: number, { time, transactionId }: Superblock): ThinDevice => ({
  id,
  mappedBlocks: 0,
  transactionId,
  creationTime: time,
  snapshottedTime: time,
})
