// The cache target: a fast device that caches a slow one (drivers/md/dm-cache-target.c).
import { invalid, shown } from '../base/options.js'
import { defineTarget, type Sized } from './define.js'
import type { LineReader } from './line.js'
import { choice, flag, OptionList } from './option-list.js'
import { deviceWord, numberWord, textWord, type Word } from './words.js'

/** Features of the cache target. */
export interface CacheFeatures {
  /**
   * The mode of the cache. `writeback`: writes to cached blocks go to the fast device, and reach the slow one later.
   * `writethrough`: they go to both devices. `passthrough`: reads and writes go to the slow device, and a write removes
   * its block from the cache. Default `writeback`, the kernel's.
   */
  readonly mode?: 'writeback' | 'writethrough' | 'passthrough'
  /** Uses the second format of the metadata, which stores dirty bits separately. Default false. */
  readonly metadata2?: boolean
  /** Does not pass discards to the slow device. Default false. */
  readonly noDiscardPassdown?: boolean
}

/** The table of the cache target: the slow device, the fast device, and the metadata of both. */
export interface CacheTable extends Sized, CacheFeatures {
  /** The device of the metadata, `7:1` or a path: which blocks are cached, and which are dirty. */
  readonly metadataDevice: string
  /** The fast device, which holds the cached blocks: `7:2`, or a path. */
  readonly cacheDevice: string
  /** The slow device, whose content the mapped device presents: `7:0`, or a path. */
  readonly originDevice: string
  /** Cache block size in sectors: 64 (32 KiB) to 2097152 (1 GiB), in steps of 64. */
  readonly blockSectors: number
  /** The cache policy: `default`, `smq`, `cleaner` … */
  readonly policy: string
  /** Arguments of the policy with their values: `migration_threshold` and others. Default none. */
  readonly policyArguments?: Readonly<Record<string, string>>
}

/** Status of the cache target. */
export type CacheStatus =
  | {
      /** The mode of the metadata: `rw`, or `ro` after an error. */
      readonly state: 'rw' | 'ro'
      /** The size of a block of the metadata device in bytes, 4096. */
      readonly metadataBlockBytes: number
      /** The number of used blocks of the metadata device. */
      readonly usedMetadataBlocks: number
      /** The number of blocks of the metadata device. */
      readonly totalMetadataBlocks: number
      /** The size of a cache block in sectors of 512 bytes. */
      readonly blockSectors: number
      /** The number of cache blocks in use. */
      readonly usedCacheBlocks: number
      /** The number of cache blocks on the fast device. */
      readonly totalCacheBlocks: number
      /** The number of reads that were mapped to the fast device. */
      readonly readHits: number
      /** The number of reads that were mapped to the slow device. */
      readonly readMisses: number
      /** The number of writes that were mapped to the fast device. */
      readonly writeHits: number
      /** The number of writes that were mapped to the slow device. */
      readonly writeMisses: number
      /** The number of blocks that were removed from the cache. */
      readonly demotions: number
      /** The number of blocks that were moved to the cache. */
      readonly promotions: number
      /** The number of cache blocks that differ from the slow device. */
      readonly dirtyBlocks: number
      /** The features with which the target runs. */
      readonly features: CacheFeatures
      /** Arguments of the target itself: `migration_threshold`. */
      readonly coreArguments: Readonly<Record<string, string>>
      /** The name of the cache policy: `smq`, `cleaner` … */
      readonly policy: string
      /** The arguments of the policy with their values; empty if it has none. */
      readonly policyArguments: Readonly<Record<string, string>>
      /**
       * True if the metadata must be checked (cache_check) before it is written again. False on kernels that do not
       * report it.
       */
      readonly needsCheck: boolean
    }
  | {
      /** `Fail`: the target serves no I/O. `Error`: the kernel could not read the status. */
      readonly state: 'Fail' | 'Error'
    }

const FEATURES = new OptionList<CacheFeatures>({
  metadata2: flag('metadata2'),
  mode: choice(['writeback', 'writethrough', 'passthrough']),
  noDiscardPassdown: flag('no_discard_passdown'),
})

function pairWords(pairs: Readonly<Record<string, string>>): Word[] {
  if (typeof pairs !== 'object') throw invalid(`policyArguments must be an object, but is ${shown(pairs)}`)
  const words = Object.entries(pairs).flatMap(([name, value]) => [name, textWord(`policyArguments.${name}`, value)])
  return [words.length, ...words]
}

function readPairs(reader: LineReader, what: string): Record<string, string> {
  const count = reader.number(`number of ${what} words`)
  const pairs: Record<string, string> = Object.create(null) as Record<string, string>
  for (let left = count; left > 1; left -= 2) pairs[reader.word(`${what} argument`)] = reader.word(`${what} value`)
  if (count % 2 === 1) reader.word(`${what} argument`)
  return { ...pairs }
}

/** Caches a slow device on a fast one (dm-cache). */
export const cache = defineTarget<CacheTable, CacheStatus>({
  type: 'cache',
  options: [
    'metadataDevice',
    'cacheDevice',
    'originDevice',
    'blockSectors',
    'policy',
    'policyArguments',
    ...FEATURES.names,
  ],
  format: table => [
    deviceWord('metadataDevice', table.metadataDevice),
    deviceWord('cacheDevice', table.cacheDevice),
    deviceWord('originDevice', table.originDevice),
    numberWord('blockSectors', table.blockSectors, { min: 64, max: 2097152, multipleOf: 64 }),
    ...FEATURES.counted(table),
    textWord('policy', table.policy),
    ...pairWords(table.policyArguments ?? {}),
  ],
  parseTable: reader => ({
    metadataDevice: reader.word('metadata device'),
    cacheDevice: reader.word('cache device'),
    originDevice: reader.word('origin device'),
    blockSectors: reader.number('block size'),
    ...FEATURES.readCounted(reader),
    policy: reader.word('policy'),
    policyArguments: readPairs(reader, 'policy'),
  }),
  parseStatus(reader) {
    const alone = reader.optional()
    if (alone === 'Fail' || alone === 'Error') return { state: alone }
    const metadataBlockBytes = reader.sectorBytes('metadata block size')
    const [usedMetadataBlocks, totalMetadataBlocks] = reader.fraction('metadata blocks')
    const blockSectors = reader.number('block size')
    const [usedCacheBlocks, totalCacheBlocks] = reader.fraction('cache blocks')
    const counted = {
      readHits: reader.number('read hits'),
      readMisses: reader.number('read misses'),
      writeHits: reader.number('write hits'),
      writeMisses: reader.number('write misses'),
      demotions: reader.number('demotions'),
      promotions: reader.number('promotions'),
      dirtyBlocks: reader.number('dirty blocks'),
      features: FEATURES.readCounted(reader),
      coreArguments: readPairs(reader, 'core'),
      policy: reader.word('policy'),
      policyArguments: readPairs(reader, 'policy'),
    }
    const state = reader.oneOf('mode', ['rw', 'ro'])
    const needsCheck = reader.optionalOneOf('needs check', ['needs_check', '-']) === 'needs_check'
    const blocks = { metadataBlockBytes, usedMetadataBlocks, totalMetadataBlocks, blockSectors }
    return { state, ...blocks, usedCacheBlocks, totalCacheBlocks, ...counted, needsCheck }
  },
})
