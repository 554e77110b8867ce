// The old snapshots, which are no thin volumes: exceptions to an origin, copied into a device of their own
// (drivers/md/dm-snap.c, dm-snap-persistent.c).
import { defineTarget, type Sized, type TargetDefinition } from './define.js'
import { flag, OptionList } from './option-list.js'
import { choiceWord, deviceWord, powerOfTwo } from './words.js'

/** Features of the snapshot target. */
export interface SnapshotFeatures {
  /** A discard of a whole chunk frees its exception (since 5.2). */
  readonly discardZeroesCow?: boolean
  /** Discards go down to the origin (since 5.2). */
  readonly discardPassdownOrigin?: boolean
}

/** An origin, and where what differs from it is kept. */
export interface SnapshotTable extends Sized, SnapshotFeatures {
  /** The device under the origin, `7:0` or a path. */
  readonly originDevice: string
  /** Where the exceptions are kept. */
  readonly cowDevice: string
  /**
   * `P`: they outlive the machine; `PO`: the same, and a full device is told as `Overflow`; `N`: they are lost when the
   * table is.
   */
  readonly persistent: 'P' | 'PO' | 'N'
  /** What is copied at once, in sectors: a power of two, at least a page. */
  readonly chunkSectors: number
}

/** Status of the snapshot target. */
export type SnapshotStatus =
  | {
      readonly state: 'active'
      readonly usedSectors: number
      readonly totalSectors: number
      /** Of the used ones: for the list of exceptions itself. */
      readonly metadataSectors: number
    }
  | { readonly state: 'Invalid' | 'Overflow' | 'Merge failed' | 'Unknown' }

const FEATURES = new OptionList<SnapshotFeatures>({
  discardZeroesCow: flag('discard_zeroes_cow'),
  discardPassdownOrigin: flag('discard_passdown_origin'),
})
const KINDS = ['P', 'PO', 'N'] as const

const definition: Omit<TargetDefinition<SnapshotTable, SnapshotStatus>, 'type'> = {
  options: ['originDevice', 'cowDevice', 'persistent', 'chunkSectors', ...FEATURES.names],
  format: table => [
    deviceWord('originDevice', table.originDevice),
    deviceWord('cowDevice', table.cowDevice),
    choiceWord('persistent', table.persistent, KINDS),
    powerOfTwo('chunkSectors', table.chunkSectors, { min: 1, max: 2 ** 31 }),
    ...FEATURES.counted(table, { omitNone: true }),
  ],
  parseTable: reader => ({
    originDevice: reader.word('origin'),
    cowDevice: reader.word('COW device'),
    persistent: reader.oneOf('persistent', KINDS),
    chunkSectors: reader.number('chunk size'),
    ...FEATURES.readCounted(reader),
  }),
  parseStatus(reader) {
    const [first, second] = reader.rest()
    if (first === 'Merge' && second === 'failed') return { state: 'Merge failed' }
    if (first === 'Invalid' || first === 'Overflow' || first === 'Unknown') return { state: first }
    const [usedSectors, totalSectors] = reader.fraction('used sectors')
    return { state: 'active', usedSectors, totalSectors, metadataSectors: reader.number('metadata sectors') }
  },
}

/** A snapshot of an origin. */
export const snapshot = defineTarget<SnapshotTable, SnapshotStatus>({ type: 'snapshot', ...definition })

/** Takes the place of the origin, and copies the exceptions back. `persistent` must not be `N`. */
export const snapshotMerge = defineTarget<SnapshotTable, SnapshotStatus>({ type: 'snapshot-merge', ...definition })

/** The device under an origin. */
export interface SnapshotOriginTable extends Sized {
  /** `7:0`, or a path. */
  readonly originDevice: string
}

/** What snapshots are taken of: writes to it copy first. */
export const snapshotOrigin = defineTarget<SnapshotOriginTable>({
  type: 'snapshot-origin',
  options: ['originDevice'],
  format: ({ originDevice }) => [deviceWord('originDevice', originDevice)],
  parseTable: reader => ({ originDevice: reader.word('origin') }),
})
