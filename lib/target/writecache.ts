// The writecache target, which writes to a fast device first (drivers/md/dm-writecache.c).
import { defineTarget, type Sized } from './define.js'
import { choice, flag, numberAfter, OptionList } from './option-list.js'
import { choiceWord, deviceWord, powerOfTwo } from './words.js'

/** Optional arguments of the writecache target. */
export interface WritecacheOptions {
  /** Start of the cache on its device, in sectors. Default 0. */
  readonly startSector?: number
  /** Percentage of used blocks at which writeback starts. Default 50. */
  readonly highWatermark?: number
  /** Percentage of used blocks at which writeback stops. Default 45. */
  readonly lowWatermark?: number
  /** Maximum number of blocks in writeback. Default: no limit. */
  readonly writebackJobs?: number
  /** Number of blocks after which it commits. Default 64 for persistent memory, 65536 otherwise. */
  readonly autocommitBlocks?: number
  /** Time after which it commits, in milliseconds. Default 1000. */
  readonly autocommitTimeMs?: number
  /** Age at which a block is written back, in milliseconds. Default: age does not matter. */
  readonly maxAgeMs?: number
  /** Caches nothing new, and writes everything back. Default false. */
  readonly cleaner?: boolean
  /**
   * The way of writing back: `fua`, with FUA; `nofua`, with a flush afterwards. Only for persistent memory. Default
   * `fua`, the kernel's.
   */
  readonly writebackFua?: 'fua' | 'nofua'
  /** Caches only what file systems mark as metadata. Default false. */
  readonly metadataOnly?: boolean
  /** Pauses writeback if the origin was used within this time, in milliseconds. Default 3000. */
  readonly pauseWritebackMs?: number
}

/** The table of the writecache target: a device, and a faster one for its writes. */
export interface WritecacheTable extends Sized, WritecacheOptions {
  /** The kind of cache. `p`: persistent memory (DAX); `s`: a block device. */
  readonly kind: 'p' | 's'
  /** The slow device: `7:0`, or a path. */
  readonly originDevice: string
  /** The fast device: `7:1`, or a path. A new one must begin with a sector of zeros. */
  readonly cacheDevice: string
  /** Block size in bytes, a power of two from 512 to 4096. */
  readonly blockBytes: number
}

/** Status of the writecache target. */
export interface WritecacheStatus {
  /** 0, or the errno of an error. */
  readonly error: number
  /** The number of blocks of the cache. */
  readonly totalBlocks: number
  /** The number of free blocks of the cache. */
  readonly freeBlocks: number
  /** The number of blocks that are being written back. */
  readonly writebackBlocks: number
  /** The number of blocks that were read. This and the following fields are undefined before Linux 5.15. */
  readonly readBlocks: number | undefined
  /** The number of read blocks that were in the cache. */
  readonly readHits: number | undefined
  /** The number of blocks that were written. */
  readonly writeBlocks: number | undefined
  /** The number of written blocks that were in the cache and not yet committed. */
  readonly writeHitsUncommitted: number | undefined
  /** The number of written blocks that were in the cache and committed. */
  readonly writeHitsCommitted: number | undefined
  /** The number of written blocks that bypassed the cache. */
  readonly writesAround: number | undefined
  /** The number of written blocks for which a block of the cache was allocated. */
  readonly writesAllocated: number | undefined
  /** The number of writes that waited for a free block of the cache. */
  readonly writesBlockedOnFreelist: number | undefined
  /** The number of flush requests. */
  readonly flushes: number | undefined
  /** The number of blocks that were discarded. */
  readonly discardedBlocks: number | undefined
}

const UNSIGNED = { min: 0, max: 2 ** 32 - 1 }
const PERCENT = { min: 0, max: 100 }
const OPTIONS = new OptionList<WritecacheOptions>({
  startSector: numberAfter('start_sector'),
  highWatermark: numberAfter('high_watermark', PERCENT),
  lowWatermark: numberAfter('low_watermark', PERCENT),
  writebackJobs: numberAfter('writeback_jobs', UNSIGNED),
  autocommitBlocks: numberAfter('autocommit_blocks', UNSIGNED),
  autocommitTimeMs: numberAfter('autocommit_time', { min: 0, max: 3_600_000 }),
  maxAgeMs: numberAfter('max_age', { min: 0, max: 86_400_000 }),
  cleaner: flag('cleaner'),
  writebackFua: choice(['fua', 'nofua']),
  metadataOnly: flag('metadata_only'),
  pauseWritebackMs: numberAfter('pause_writeback', { min: 0, max: 3_600_000 }),
})

/** Writes to a fast device first (dm-writecache). */
export const writecache = defineTarget<WritecacheTable, WritecacheStatus>({
  type: 'writecache',
  options: ['kind', 'originDevice', 'cacheDevice', 'blockBytes', ...OPTIONS.names],
  format: table => [
    choiceWord('kind', table.kind, ['p', 's']),
    deviceWord('originDevice', table.originDevice),
    deviceWord('cacheDevice', table.cacheDevice),
    powerOfTwo('blockBytes', table.blockBytes, { min: 512, max: 4096 }),
    ...OPTIONS.counted(table),
  ],
  parseTable: reader => ({
    kind: reader.oneOf('kind', ['p', 's']),
    originDevice: reader.word('origin device'),
    cacheDevice: reader.word('cache device'),
    blockBytes: reader.number('block size'),
    ...OPTIONS.readCounted(reader),
  }),
  parseStatus(reader) {
    const later = (field: string) => (reader.optional() === undefined ? undefined : reader.number(field))
    return {
      error: Math.abs(reader.integer('error')),
      totalBlocks: reader.number('blocks'),
      freeBlocks: reader.number('free blocks'),
      writebackBlocks: reader.number('blocks under writeback'),
      readBlocks: later('read blocks'),
      readHits: later('read hits'),
      writeBlocks: later('write blocks'),
      writeHitsUncommitted: later('write hits of uncommitted blocks'),
      writeHitsCommitted: later('write hits of committed blocks'),
      writesAround: later('writes around the cache'),
      writesAllocated: later('writes allocated in the cache'),
      writesBlockedOnFreelist: later('writes blocked on the freelist'),
      flushes: later('flushes'),
      discardedBlocks: later('discarded blocks'),
    }
  },
})
