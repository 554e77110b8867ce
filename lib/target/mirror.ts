// The mirror target, the older one of two for copies on several devices (drivers/md/dm-raid1.c, dm-log.c).
import { checkOptions } from '../base/options.js'
import { defineTarget, type Sized } from './define.js'
import type { LineReader } from './line.js'
import { flag, OptionList } from './option-list.js'
import { choiceWord, deviceWord, listOf, numberWord, pieceWords, powerOfTwo, type Word } from './words.js'

/** The log of regions that are in sync: in memory (`core`) or on a device (`disk`). */
export interface MirrorLog {
  /** The place of the log. `core`: in memory, so that the state is lost with the table. `disk`: on `device`. */
  readonly kind: 'core' | 'disk'
  /** The device of a `disk` log: `7:2`, or a path. Required with `disk`, and not used with `core`. */
  readonly device?: string
  /** Region size in sectors, a power of two. */
  readonly regionSectors: number
  /**
   * The initial state. `sync`: no region is in sync. `nosync`: all are. Default: as on the device of a `disk` log; no
   * region in sync for `core`.
   */
  readonly sync?: 'sync' | 'nosync'
}

/** A device that holds one copy of a mirror. */
export interface MirrorCopy {
  /** The device: `7:0`, or a path. */
  readonly device: string
  /** Start on the device, in sectors. Default 0. */
  readonly offsetSectors?: number
}

/** Features of the mirror target. */
export interface MirrorFeatures {
  /** Excludes and reports a failed copy. Default false: I/O continues as if the copy had not failed. */
  readonly handleErrors?: boolean
  /** Fails writes if the log has failed. Requires `handleErrors`. Default false. */
  readonly keepLog?: boolean
}

/** The table of the mirror target: devices with the same content, and the log. */
export interface MirrorTable extends Sized, MirrorFeatures {
  /** The log of regions that are in sync. */
  readonly log: MirrorLog
  /** Two to nine copies. The others are made equal to the first. */
  readonly copies: readonly MirrorCopy[]
}

/** `A`: alive; `F`, `D`, `S`, `R`: a flush, write, sync or read failed; `U`: the failure is unknown. */
export type MirrorHealth = 'A' | 'F' | 'D' | 'S' | 'R' | 'U'

/** Status of the mirror target. */
export interface MirrorStatus {
  /** The devices, in the order of the table. */
  readonly copies: readonly {
    /** The device number: `7:0`. */
    readonly device: string
    /** The state of the device. */
    readonly health: MirrorHealth
  }[]
  /** The number of regions that are in sync. */
  readonly syncedRegions: number
  /** The number of regions, of which each has `regionSectors` of the log. */
  readonly totalRegions: number
  /** The words of the log: its kind, for `disk` its device and health. */
  readonly log: readonly string[]
}

const FEATURES = new OptionList<MirrorFeatures>({ handleErrors: flag('handle_errors'), keepLog: flag('keep_log') })
const HEALTH = ['A', 'F', 'D', 'S', 'R', 'U'] as const
const SYNC = ['sync', 'nosync'] as const
const MAX_COPIES = 9

function logWords(log: MirrorLog): Word[] {
  checkOptions(log, ['kind', 'device', 'regionSectors', 'sync'], 'log')
  const { kind, device, regionSectors, sync } = log
  const region = powerOfTwo('log.regionSectors', regionSectors, { min: 1, max: 2 ** 31 })
  const words = [region, ...(sync === undefined ? [] : [choiceWord('log.sync', sync, SYNC)])]
  if (choiceWord('log.kind', kind, ['core', 'disk']) === 'core') return ['core', words.length, ...words]
  return ['disk', words.length + 1, deviceWord('log.device', device), ...words]
}

function readLog(reader: LineReader): MirrorLog {
  const kind = reader.oneOf('log', ['core', 'disk'])
  const words = reader.number('number of log words')
  const on = kind === 'core' ? {} : { device: reader.word('log device') }
  const regionSectors = reader.number('region size')
  const hasSync = words > (kind === 'core' ? 1 : 2)
  return { kind, ...on, regionSectors, ...(hasSync && { sync: reader.oneOf('sync', SYNC) }) }
}

/** Mirrors I/O to copies on several devices (dm-mirror, the older way). */
export const mirror = defineTarget<MirrorTable, MirrorStatus>({
  type: 'mirror',
  options: ['log', 'copies', ...FEATURES.names],
  format(table) {
    const count = listOf('copies', table.copies, 2).length
    const copies = table.copies.flatMap((copy, at) => pieceWords(`copies[${at}]`, copy))
    const counted = [numberWord('the number of copies', count, { min: 2, max: MAX_COPIES }), ...copies]
    return [...logWords(table.log), ...counted, ...FEATURES.counted(table, { omitNone: true })]
  },
  parseTable(reader) {
    const log = readLog(reader)
    const copies: MirrorCopy[] = []
    for (let left = reader.number('number of copies'); left > 0; left--) {
      copies.push({ device: reader.word('device'), offsetSectors: reader.number('offset') })
    }
    return { log, copies, ...FEATURES.readCounted(reader) }
  },
  parseStatus(reader) {
    const devices: string[] = []
    for (let left = reader.number('number of copies'); left > 0; left--) devices.push(reader.word('device'))
    const [syncedRegions, totalRegions] = reader.fraction('synced regions')
    reader.number('number of health words')
    const health = reader.letters('health', HEALTH, devices.length)
    const count = reader.number('number of log words')
    const log: string[] = []
    while (log.length < count) log.push(reader.word('log'))
    const copies = devices.map((device, at) => ({ device, health: health[at]! }))
    return { copies, syncedRegions, totalRegions, log }
  },
})
