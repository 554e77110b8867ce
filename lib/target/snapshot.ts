// The snapshot targets, which are older than thin volumes: exceptions to an origin, copied to a device of their own
// (drivers/md/dm-snap.c, dm-snap-persistent.c).
import { defineTarget, type Sized, type TargetDefinition } from './define.js'
import { flag, OptionList } from './option-list.js'
import { choiceWord, deviceWord, powerOfTwo } from './words.js'

/** Features of the snapshot target. */
export interface SnapshotFeatures {
  /** Frees an exception if its whole chunk is discarded (since 5.2). Default false. */
  readonly discardZeroesCow?: boolean
  /** Passes discards to the origin (since 5.2). Default false. */
  readonly discardPassdownOrigin?: boolean
}

/** The table of the snapshot target: an origin, and the device of its exceptions. */
export interface SnapshotTable extends Sized, SnapshotFeatures {
  /** The device under the origin, `7:0` or a path. */
  readonly originDevice: string
  /** The device to which exceptions are copied: `7:1`, or a path. */
  readonly cowDevice: string
  /**
   * `P`: exceptions survive a reboot; `PO`: the same, and a full device is reported as `Overflow`; `N`: exceptions are
   * lost with the table.
   */
  readonly persistent: 'P' | 'PO' | 'N'
  /** Chunk size in sectors, a power of two, at least a page. */
  readonly chunkSectors: number
}

/** Status of the snapshot target. */
export type SnapshotStatus =
  | {
      /** Always `active`: the snapshot is usable. */
      readonly state: 'active'
      /** The used sectors of the device of exceptions, `metadataSectors` included. */
      readonly usedSectors: number
      /** The size of the device of exceptions in sectors. */
      readonly totalSectors: number
      /** The used sectors of the list of exceptions itself. */
      readonly metadataSectors: number
    }
  | {
      /**
       * `Invalid`: the device of exceptions failed or is full, and the snapshot cannot be read. `Overflow`: the device
       * of exceptions is full. `Merge failed`: an error stopped the merge. `Unknown`: the kernel cannot report the
       * usage.
       */
      readonly state: 'Invalid' | 'Overflow' | 'Merge failed' | 'Unknown'
    }

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

/** Presents a snapshot of an origin (dm-snapshot). */
export const snapshot = defineTarget<SnapshotTable, SnapshotStatus>({ type: 'snapshot', ...definition })

/** Merges a snapshot: takes the place of the origin, and copies the exceptions to it. `persistent` must not be `N`. */
export const snapshotMerge = defineTarget<SnapshotTable, SnapshotStatus>({ type: 'snapshot-merge', ...definition })

/** The table of the snapshot-origin target. */
export interface SnapshotOriginTable extends Sized {
  /** The device under the origin: `7:0`, or a path. */
  readonly originDevice: string
}

/** Presents an origin of snapshots: a write copies the old content to them first. */
export const snapshotOrigin = defineTarget<SnapshotOriginTable>({
  type: 'snapshot-origin',
  options: ['originDevice'],
  format: ({ originDevice }) => [deviceWord('originDevice', originDevice)],
  parseTable: reader => ({ originDevice: reader.word('origin') }),
})
