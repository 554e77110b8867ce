// Snapshots that were never written to: all that they map is their origin's.
import type { BlockSource } from './block-source.js'
import { MAPPING_BYTES, mappedTime } from './btree.js'
import { walkEntries } from './btree-walk.js'
import { findDevice, findMappingRoot } from './details.js'
import { readCommitted, type ReadOptions } from './reader.js'

/**
 * Returns those of the volumes that are snapshots and to which nothing was written since. A snapshot advances the clock of the
 * pool, and a mapping has the time of the write that made it, so that all mappings of such a volume are older than the
 * volume. A volume without mappings is not returned, because it may not be a snapshot. Rejects like `readPoolMetadata`.
 */
export function unwrittenSnapshots(
  source: BlockSource,
  ids: readonly number[],
  options: ReadOptions = {},
): Promise<Set<number>> {
  return readCommitted(source, options, async (superblock, reader) => {
    const unwritten = new Set<number>()
    for (const id of ids) {
      const device = await findDevice(reader, superblock, id)
      const root = await findMappingRoot(reader, superblock, id)
      if (!device || root === undefined || device.mappedBlocks === 0) continue
      let isWritten = false
      await walkEntries(reader, root, MAPPING_BYTES, (_, node, index) => {
        isWritten ||= mappedTime(node, index) >= device.creationTime
      })
      if (!isWritten) unwritten.add(id)
    }
    return unwritten
  })
}
