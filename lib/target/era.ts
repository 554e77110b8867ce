// The era target: in which span of time each block was written last (drivers/md/dm-era-target.c).
import { defineTarget, type Sized } from './define.js'
import { deviceWord, numberWord } from './words.js'

/** A device, and where is kept when its blocks were written. */
export interface EraTable extends Sized {
  readonly metadataDevice: string
  readonly originDevice: string
  /** In sectors: a multiple of 8 (4 KiB). */
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
      /** Metadata block of the metadata snapshot, or null where none is held. */
      readonly heldMetadataRoot: number | null
    }
  | { readonly state: 'Error' }

/** Keeps in which span of time each block was written last (dm-era). */
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
