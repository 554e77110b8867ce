// The integrity target: a tag for each sector, stored on the device itself (drivers/md/dm-integrity.c).
import { defineTarget, type Sized } from './define.js'
import { flag, numberWithin, OptionList, textWithin } from './option-list.js'
import { choiceWord, deviceWord, numberWord, offsetWord } from './words.js'

/** Optional arguments of the integrity target. */
export interface IntegrityOptions {
  /** Stores the tags on this device, `7:1` or a path. Default: between the data. */
  readonly metaDevice?: string
  /** Block size in bytes, 512 to 4096. Default 512. */
  readonly blockSizeBytes?: number
  /** Computes the tags of the device's contents, in the background. Default false. */
  readonly recalculate?: boolean
  /** Computes all tags again, from the first sector. Default false. */
  readonly resetRecalculate?: boolean
  /** Accepts discards. Only with `internalHash`. Default false. */
  readonly allowDiscards?: boolean
  /** Size of the journal in sectors, which takes effect when the device is formatted. Default: the kernel's choice. */
  readonly journalSectors?: number
  /** Number of interleaved sectors, a power of two, which takes effect when the device is formatted. Default 32768. */
  readonly interleaveSectors?: number
  /** Number of sectors in a buffer, a power of two. Default 128. */
  readonly bufferSectors?: number
  /** Journal watermark in percent. Default 50. */
  readonly journalWatermark?: number
  /** Commit interval in milliseconds. Default 10 000. */
  readonly commitTimeMs?: number
  /** For mode `B`: sectors for each bit of the bitmap. Default 32768, or more on a large device. */
  readonly sectorsPerBit?: number
  /** For mode `B`: flush interval of the bitmap, in milliseconds. Default 10 000. */
  readonly bitmapFlushIntervalMs?: number
  /** Uses the smaller padding of the tags, which older kernels do not read. Default false. */
  readonly fixPadding?: boolean
  /**
   * Includes a salt and the section number in the keyed hashes of the journal, and protects the superblock with them.
   * Default false.
   */
  readonly fixHmac?: boolean
  /** Permits `recalculate` with a keyed hash, although it lets an attacker replace contents. Default false. */
  readonly legacyRecalculate?: boolean
  /**
   * `crc32c`, or `hmac(sha256):KEY` with a key in hexadecimal digits: the target computes the tags. Default: the device
   * above writes them, as `crypt` does.
   */
  readonly internalHash?: string
  /** The algorithm that encrypts the journal, with or without a key. Default: not encrypted. */
  readonly journalCrypt?: string
  /** The algorithm that protects the sector numbers in the journal, with or without a key. Default: none. */
  readonly journalMac?: string
}

/**
 * The table of the integrity target. Its length must be the size that the device has after formatting: load it with one
 * sector, and read `providedDataSectors`. A device that begins with zeros is formatted when its table is loaded.
 */
export interface IntegrityTable extends Sized, IntegrityOptions {
  /** The device: `7:0`, or a path. */
  readonly device: string
  /** Reserved sectors at the beginning. Default 0. */
  readonly reservedSectors?: number
  /** Size of a tag in bytes. Default: that of the internal hash. */
  readonly tagBytes?: number
  /**
   * `J`: with a journal; `B`: with a bitmap; `D`: without either; `R`: recovery; `I`: tags of the device itself (6.11).
   */
  readonly mode: 'J' | 'B' | 'D' | 'R' | 'I'
}

/** Status of the integrity target. */
export interface IntegrityStatus {
  /** The number of wrong tags. */
  readonly mismatches: number
  /** The size of the formatted device in sectors: the right length of the table. */
  readonly providedDataSectors: number
  /** Progress of the recalculation in sectors, or null if there is none. */
  readonly recalculatedSectors: number | null
}

const OPTIONS = new OptionList<IntegrityOptions>({
  metaDevice: textWithin('meta_device'),
  blockSizeBytes: numberWithin('block_size', { min: 512, max: 4096 }),
  recalculate: flag('recalculate'),
  resetRecalculate: flag('reset_recalculate'),
  allowDiscards: flag('allow_discards'),
  journalSectors: numberWithin('journal_sectors'),
  interleaveSectors: numberWithin('interleave_sectors'),
  bufferSectors: numberWithin('buffer_sectors'),
  journalWatermark: numberWithin('journal_watermark', { min: 0, max: 100 }),
  commitTimeMs: numberWithin('commit_time'),
  sectorsPerBit: numberWithin('sectors_per_bit'),
  bitmapFlushIntervalMs: numberWithin('bitmap_flush_interval'),
  fixPadding: flag('fix_padding'),
  fixHmac: flag('fix_hmac'),
  legacyRecalculate: flag('legacy_recalculate'),
  internalHash: textWithin('internal_hash'),
  journalCrypt: textWithin('journal_crypt'),
  journalMac: textWithin('journal_mac'),
})

const MODES = ['J', 'B', 'D', 'R', 'I'] as const

/** Verifies a tag for each sector, stored on the device itself (dm-integrity). */
export const integrity = defineTarget<IntegrityTable, IntegrityStatus>({
  type: 'integrity',
  options: ['device', 'reservedSectors', 'tagBytes', 'mode', ...OPTIONS.names],
  format: table => [
    deviceWord('device', table.device),
    offsetWord('reservedSectors', table.reservedSectors),
    table.tagBytes === undefined ? '-' : numberWord('tagBytes', table.tagBytes, { min: 1, max: 2 ** 31 }),
    choiceWord('mode', table.mode, MODES),
    ...OPTIONS.counted(table),
  ],
  parseTable(reader) {
    const device = reader.word('device')
    const reservedSectors = reader.number('reserved sectors')
    const tag = reader.word('tag size')
    const tagBytes = tag === '-' ? {} : { tagBytes: reader.asNumber('tag size', tag) }
    const mode = reader.oneOf('mode', MODES)
    return { device, reservedSectors, ...tagBytes, mode, ...OPTIONS.readCounted(reader) }
  },
  parseStatus(reader) {
    const mismatches = reader.number('mismatches')
    const providedDataSectors = reader.number('provided data sectors')
    const at = reader.optional() === undefined ? '-' : reader.word('recalculated sectors')
    const recalculatedSectors = at === '-' ? null : reader.asNumber('recalculated sectors', at)
    return { mismatches, providedDataSectors, recalculatedSectors }
  },
})
