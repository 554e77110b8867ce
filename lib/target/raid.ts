// The raid target: the kernel's md as a table (drivers/md/dm-raid.c).
import { checkOptions } from '../base/options.js'
import { defineTarget, type Sized } from './define.js'
import { choice, choiceAfter, deviceAfter, numberAfter, numbersAfter, OptionList } from './option-list.js'
import { deviceWord, listOf, numberWord, textWord } from './words.js'

/** Optional arguments of the raid target. */
export interface RaidOptions {
  /**
   * The assumed initial state of the devices. `sync`: not in sync, so that they are synchronized. `nosync`: in sync.
   * Default: as in their superblocks.
   */
  readonly sync?: 'sync' | 'nosync'
  /** Indexes of the devices to be rebuilt. Default: none. */
  readonly rebuild?: readonly number[]
  /** Interval between two clearings of bits, in milliseconds. Default: the kernel's choice. */
  readonly daemonSleepMs?: number
  /** Minimum rate of recovery in KiB per second and device. Default: the sysctl `dev.raid.speed_limit_min`. */
  readonly minRecoveryRate?: number
  /** Maximum rate of recovery in KiB per second and device. Default: the sysctl `dev.raid.speed_limit_max`. */
  readonly maxRecoveryRate?: number
  /** Indexes of the devices that are read only if there is no other. Default: none. */
  readonly writeMostly?: readonly number[]
  /**
   * Limit of unfinished writes to write-mostly devices, in sectors, as the kernel's documentation states it. Only for
   * raid1. Default: the kernel waits for each write.
   */
  readonly maxWriteBehindSectors?: number
  /** Size of the stripe cache in sectors. Only for levels 4, 5 and 6. Default: the kernel's choice. */
  readonly stripeCacheSectors?: number
  /**
   * Size in sectors of the region that a bit of the bitmap stands for, a power of two. Default: the kernel's choice.
   */
  readonly regionSectors?: number
  /** Number of copies in raid10, 2 to 255. Default 2. */
  readonly raid10Copies?: number
  /**
   * Layout of the copies in raid10. `near`: next to each other. `far`: at distant offsets. `offset`: in the next
   * stripe. Default `near`.
   */
  readonly raid10Format?: 'near' | 'far' | 'offset'
  /** Number of devices to add or, if negative, to remove, -253 to 253. Default: none. */
  readonly deltaDisks?: number
  /** Offset of the data on each device, in sectors: free space for a reshape. Default: as in the superblocks. */
  readonly dataOffsetSectors?: number
  /** The device of the write journal, `7:9` or a path. Only for levels 4, 5 and 6. Default: none. */
  readonly journalDevice?: string
  /**
   * The mode of the journal. `writethrough`: a write completes when the devices have it. `writeback`: when the journal
   * has it. Default `writethrough`.
   */
  readonly journalMode?: 'writethrough' | 'writeback'
}

/** A device of a raid. */
export interface RaidDevice {
  /** Device of its superblock and bitmap; null: none. */
  readonly metadata: string | null
  /** Device of its data; null: missing. */
  readonly data: string | null
}

/** The table of the raid target: its devices, each with a device for its metadata. */
export interface RaidTable extends Sized, RaidOptions {
  /** The raid level: `raid0`, `raid1`, `raid5_ls`, `raid10` … */
  readonly raidType: string
  /** Chunk size in sectors; 0 for raid1. */
  readonly chunkSectors: number
  /** The devices in the order of the array, 1 to 253. */
  readonly devices: readonly RaidDevice[]
}

/** Status of the raid target. */
export interface RaidStatus {
  /** The raid level: `raid0`, `raid1`, `raid5_ls`, `raid10` … */
  readonly raidType: string
  /** `A`: in sync; `a`: not in sync yet; `D`: failed; `-`: missing. */
  readonly health: readonly ('A' | 'a' | 'D' | '-')[]
  /** The number of sectors that the present action has finished. */
  readonly syncedSectors: number
  /** The number of sectors that the present action covers. */
  readonly totalSectors: number
  /** The present action: `idle`, `resync`, `recover`, `check`, `repair`, `reshape`, `frozen`, `undef`. */
  readonly action: string
  /** The number of mismatches that the last check found. */
  readonly mismatches: number
  /** Offset of the data on the devices, in sectors. Undefined before about 4.8. */
  readonly dataOffsetSectors: number | undefined
  /**
   * State of the journal device: `A` write-through, `a` write-back, `D` failed, `-` none. Undefined before about 4.11.
   */
  readonly journal: 'A' | 'a' | 'D' | '-' | undefined
}

/** MAX_RAID_DEVICES */
const MAX_DEVICES = 253

const OPTIONS = new OptionList<RaidOptions>({
  sync: choice(['sync', 'nosync']),
  rebuild: numbersAfter('rebuild'),
  daemonSleepMs: numberAfter('daemon_sleep'),
  minRecoveryRate: numberAfter('min_recovery_rate'),
  maxRecoveryRate: numberAfter('max_recovery_rate'),
  writeMostly: numbersAfter('write_mostly'),
  maxWriteBehindSectors: numberAfter('max_write_behind'),
  stripeCacheSectors: numberAfter('stripe_cache'),
  regionSectors: numberAfter('region_size'),
  raid10Copies: numberAfter('raid10_copies', { min: 2, max: 255 }),
  raid10Format: choiceAfter('raid10_format', ['near', 'far', 'offset']),
  deltaDisks: numberAfter('delta_disks', { min: -MAX_DEVICES, max: MAX_DEVICES }),
  dataOffsetSectors: numberAfter('data_offset'),
  journalDevice: deviceAfter('journal_dev'),
  journalMode: choiceAfter('journal_mode', ['writethrough', 'writeback']),
})

const HEALTH = ['A', 'a', 'D', '-'] as const
const ACTIONS = ['idle', 'resync', 'recover', 'check', 'repair', 'reshape', 'frozen', 'undef', 'halt'] as const

/** Combines devices to a raid of the kernel's md (dm-raid). */
export const raid = defineTarget<RaidTable, RaidStatus>({
  type: 'raid',
  options: ['raidType', 'chunkSectors', 'devices', ...OPTIONS.names],
  format(table) {
    const raidType = textWord('raidType', table.raidType, /^raid\d+\w*$/)
    const options = [numberWord('chunkSectors', table.chunkSectors), ...OPTIONS.words(table)]
    const count = listOf('devices', table.devices).length
    numberWord('the number of devices', count, { min: 1, max: MAX_DEVICES })
    const devices = table.devices.flatMap((device, at) => {
      checkOptions(device, ['metadata', 'data'], `devices[${at}]`)
      const { metadata, data } = device
      return [
        metadata === null ? '-' : deviceWord(`devices[${at}].metadata`, metadata),
        data === null ? '-' : deviceWord(`devices[${at}].data`, data),
      ]
    })
    return [raidType, options.length, ...options, count, ...devices]
  },
  parseTable(reader) {
    const raidType = reader.word('raid type')
    const options = reader.number('number of options')
    const chunkSectors = reader.number('chunk size')
    const read = OPTIONS.read(reader, options - 1)
    const device = (field: string) => {
      const word = reader.word(field)
      return word === '-' ? null : word
    }
    const devices: RaidDevice[] = []
    for (let left = reader.number('number of devices'); left > 0; left--) {
      devices.push({ metadata: device('metadata device'), data: device('data device') })
    }
    return { raidType, chunkSectors, ...read, devices }
  },
  parseStatus(reader) {
    const raidType = reader.word('raid type')
    const health = reader.letters('health', HEALTH, reader.number('number of devices'))
    const [syncedSectors, totalSectors] = reader.fraction('synced sectors')
    const action = reader.oneOf('sync action', ACTIONS)
    const mismatches = reader.number('mismatches')
    const dataOffsetSectors = reader.optional() === undefined ? undefined : reader.number('data offset')
    const journal = reader.optionalOneOf('journal', HEALTH)
    return { raidType, health, syncedSectors, totalSectors, action, mismatches, dataOffsetSectors, journal }
  },
})
