// The era target, which records the era in which each block was last written (drivers/md/dm-era-target.c).
import { defineTarget, type Sized } from './define.js'
import { deviceWord, numberWord } from './words.js'

/** The table of the era target: a device, and the device of its records. */
export interface EraTable extends Sized {
  readonly metadataDevice: string
  readonly originDevice: string
  /** Block size in sectors, a multiple of 8 (4 KiB). */
  readonly blockSectors: number
}

/** Status of the era target. */
export type EraStatus =
  | {
      readonly state: 'active'
      readonly metadataBlockBytes: number
      readonly usedMetadataBlocks: number
      readonly totalMetadataBlocks: number
      readonly currentEra: number
      /** Metadata block of the metadata snapshot, or null if none is held. */
      readonly heldMetadataRoot: number | null
    }
  | { readonly state: 'Error' }

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
