// The era target, which records the era in which each block was last written (drivers/md/dm-era-target.c).
import { defineTarget, type Sized } from './define.js'
import { deviceWord, numberWord } from './words.js'

/** The table of the era target: a device, and the device of its records. */
export interface EraTable extends Sized {
  /** The device of the records: `7:1`, or a path. */
  readonly metadataDevice: string
  /** The device whose writes are recorded: `7:0`, or a path. */
  readonly originDevice: string
  /** Block size in sectors, a multiple of 8 (4 KiB). */
  readonly blockSectors: number
}

/** Status of the era target. */
export type EraStatus =
  | {
      /** Always `active`: the kernel reports the metadata. */
      readonly state: 'active'
      /** The size of a block of the metadata device in bytes, 4096. */
      readonly metadataBlockBytes: number
      /** The number of used blocks of the metadata device. */
      readonly usedMetadataBlocks: number
      /** The number of blocks of the metadata device. */
      readonly totalMetadataBlocks: number
      /** The number of the current era, which the message `checkpoint` increases. */
      readonly currentEra: number
      /** Metadata block of the metadata snapshot, or null if none is held. */
      readonly heldMetadataRoot: number | null
    }
  | {
      /** Always `Error`: the kernel could not read the status. */
      readonly state: 'Error'
    }

/** Records the era in which each block was last written (dm-era). */
export const era = defineTarget<EraTable, EraStatus>({
  type: 'era',
  options: ['metadataDevice', 'originDevice', 'blockSectors'],
  format: ({ metadataDevice, originDevice, blockSectors }) => [
    deviceWord('metadataDevice', metadataDevice),
    deviceWord('originDevice', originDevice),
    numberWord('blockSectors', blockSectors, { min: 8, max: 2 ** 31, multipleOf: 8 }),
  ],
  parseTable: reader => ({
    metadataDevice: reader.word('metadata device'),
    originDevice: reader.word('origin device'),
    blockSectors: reader.number('block size'),
  }),
  parseStatus(reader) {
    if (reader.optional() === 'Error') return { state: 'Error' }
    const metadataBlockBytes = reader.sectorBytes('metadata block size')
    const [usedMetadataBlocks, totalMetadataBlocks] = reader.fraction('metadata blocks')
    const currentEra = reader.number('era')
    const held = reader.word('held metadata root')
    const heldMetadataRoot = held === '-' ? null : reader.asNumber('held metadata root', held)
    return {
      state: 'active',
      metadataBlockBytes,
      usedMetadataBlocks,
      totalMetadataBlocks,
      currentEra,
      heldMetadataRoot,
    }
  },
})
