// Every target with words of its own: lines as kernels print them, read, and written again; what is refused.
import * as kernel from '../../lib/exports/kernel'
import { parseStatusLine, parseTableLine, type Segment } from '../../lib/exports/kernel'
import { seeded } from '../helpers/random'
import { thrown } from '../helpers/thrown'

const segment = (type: string, parameters: string, lengthSectors = 8192): Segment => ({
  lengthSectors,
  type,
  parameters,
})

const TARGETS = Object.values(kernel).filter(
  (each): each is typeof kernel.linear => typeof each === 'function' && 'parseTable' in each,
)
const targetOf = (type: string) => TARGETS.find(target => target.type === type)!

/** Seen on Linux 6.12 by test/kernel/targets-*.test.ts, but for those marked. */
const LINES: [string, string, object][] = [
  ['linear', '7:0 1024', { device: '7:0', offsetSectors: 1024 }],
  [
    'striped',
    '2 8 7:0 0 7:1 8',
    { chunkSectors: 8, stripes: [{ device: '7:0' }, { device: '7:1', offsetSectors: 8 }] },
  ],
  ['error', '', {}],
  ['zero', '', {}],
  ['delay', '7:0 0 5', { read: { device: '7:0', offsetSectors: 0, delayMs: 5 } }],
  ['delay', '7:0 0 0 7:1 8 1', { write: { device: '7:1', offsetSectors: 8, delayMs: 1 } }],
  ['delay', '7:0 0 0 7:1 8 1 7:2 0 9', { flush: { device: '7:2', offsetSectors: 0, delayMs: 9 } }],
  ['flakey', '7:0 0 16 2 0', { upSeconds: 16, downSeconds: 2 }],
  ['flakey', '7:0 0 16 2 2 error_reads error_writes', { errorReads: true, errorWrites: true }],
  [
    'flakey',
    '7:0 0 16 2 6 drop_writes corrupt_bio_byte 224 w 0 32',
    { dropWrites: true, corruptBioByte: { nthByte: 224, direction: 'w', value: 0, flags: 32 } },
  ],
  ['flakey', '7:0 0 1 0 4 random_read_corrupt 5 random_write_corrupt 6', { randomReadCorrupt: 5 }],
  ['log-writes', '7:0 7:1', { device: '7:0', logDevice: '7:1' }],
  ['snapshot', '7:0 7:1 P 16', { persistent: 'P', chunkSectors: 16 }],
  ['snapshot', '7:0 7:1 N 16 2 discard_zeroes_cow discard_passdown_origin', { discardPassdownOrigin: true }],
  ['snapshot-merge', '7:0 7:1 PO 32', { persistent: 'PO', chunkSectors: 32 }],
  ['snapshot-origin', '7:0', { originDevice: '7:0' }],
  ['thin-pool', '7:1 7:0 128 0 2 skip_block_zeroing error_if_no_space', { errorIfNoSpace: true }],
  ['thin', '253:0 7', { poolDevice: '253:0', id: 7 }],
  ['thin', '253:0 7 7:2', { externalOrigin: '7:2' }],
  ['crypt', 'aes-xts-plain64 00ff 0 7:0 4096', { key: '00ff', offsetSectors: 4096 }],
  // As documented: keyrings and tags need more than the guest has.
  ['crypt', 'aes-xts-plain64 :32:logon:dm:a 8 7:0 0 1 allow_discards', { key: ':32:logon:dm:a', allowDiscards: true }],
  [
    'crypt',
    'capi:gcm(aes)-random - 0 7:0 0 4 high_priority integrity:28:aead integrity_key_size:32 sector_size:4096',
    { integrity: '28:aead', integrityKeyBytes: 32, sectorSizeBytes: 4096, highPriority: true },
  ],
  ['cache', '7:0 7:1 7:2 128 1 writethrough smq 0', { mode: 'writethrough', policy: 'smq', policyArguments: {} }],
  [
    'cache',
    '7:0 7:1 7:2 128 3 metadata2 writeback no_discard_passdown smq 2 migration_threshold 4096',
    { metadata2: true, policyArguments: { migration_threshold: '4096' } },
  ],
  ['writecache', 's 7:0 7:1 4096 0', { kind: 's', blockBytes: 4096 }],
  // As documented: `p`, with FUA, needs persistent memory.
  ['writecache', 'p 7:0 7:1 512 5 start_sector 8 max_age 100 nofua', { startSector: 8, writebackFua: 'nofua' }],
  ['writecache', 's 7:0 7:1 4096 4 cleaner metadata_only pause_writeback 9', { cleaner: true, pauseWritebackMs: 9 }],
  ['era', '7:0 7:1 128', { blockSectors: 128 }],
  ['verity', '1 7:0 7:1 4096 4096 2 0 sha256 0a0b -', { version: 1, salt: '', dataBlocks: 2 }],
  [
    'verity',
    '0 7:0 7:1 512 1024 2 9 sha1 0a0b 0c 3 panic_on_corruption ignore_zero_blocks check_at_most_once',
    { version: 0, onCorruption: 'panic_on_corruption', ignoreZeroBlocks: true, checkAtMostOnce: true },
  ],
  // As documented: forward error correction and signatures.
  [
    'verity',
    '1 7:0 7:1 4096 4096 2 0 sha256 0a - 10 use_fec_from_device 7:2 fec_blocks 4 fec_start 2 fec_roots 2 root_hash_sig_key_desc k',
    { fecDevice: '7:2', fecBlocks: 4, fecStart: 2, fecRoots: 2, rootHashSigKeyDesc: 'k' },
  ],
  [
    'integrity',
    '7:0 0 4 J 6 journal_sectors:88 interleave_sectors:32768 buffer_sectors:128 journal_watermark:50 commit_time:10000 internal_hash:crc32c',
    { tagBytes: 4, mode: 'J', journalSectors: 88, internalHash: 'crc32c' },
  ],
  ['integrity', '7:0 0 - D 1 internal_hash:crc32c', { mode: 'D' }],
  ['integrity', '7:0 8 32 B 3 meta_device:7:1 recalculate internal_hash:hmac(sha256):00ff', { metaDevice: '7:1' }],
  ['raid', 'raid0 1 128 2 - 7:0 - 7:1', { chunkSectors: 128, devices: [{ metadata: null, data: '7:0' }, {}] }],
  [
    'raid',
    'raid1 12 0 nosync rebuild 0 rebuild 2 min_recovery_rate 10 write_mostly 1 region_size 1024 3 7:0 7:1 - - 7:4 7:5',
    { sync: 'nosync', rebuild: [0, 2], writeMostly: [1], regionSectors: 1024 },
  ],
  [
    'raid',
    'raid10 5 128 raid10_copies 2 raid10_format far 2 7:0 7:1 7:2 7:3',
    { raid10Copies: 2, raid10Format: 'far', raidType: 'raid10' },
  ],
  ['raid', 'raid5_ls 3 64 delta_disks -1 1 - -', { deltaDisks: -1, devices: [{ metadata: null, data: null }] }],
  ['raid', 'raid5_ls 5 64 journal_dev 7:9 journal_mode writeback 3 7:0 7:1 7:2 7:3 7:4 7:5', { journalDevice: '7:9' }],
  ['mirror', 'core 2 1024 nosync 2 7:0 0 7:1 8 1 handle_errors', { handleErrors: true }],
  ['mirror', 'disk 2 7:2 1024 2 7:0 0 7:1 0', { log: { kind: 'disk', device: '7:2', regionSectors: 1024 } }],
]

/** `toMatchObject` compares lists whole; here a part of each element will do. */
const inPart = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(inPart)
  if (typeof value !== 'object' || value === null) return value
  const fields = Object.entries(value).map(([name, field]) => [name, inPart(field)])
  return expect.objectContaining(Object.fromEntries(fields) as object) as unknown
}

describe('a table line', () => {
  test.each(LINES)('%s %s: is read, and comes back as it was', (type, parameters, read) => {
    const target = targetOf(type)
    const table = target.parseTable(segment(type, parameters))
    expect(table).toEqual(inPart({ lengthSectors: 8192, ...read }))
    expect(target(table)).toEqual(segment(type, parameters))
    expect(parseTableLine(segment(type, `${parameters} `))).toEqual({ kind: type, table })
  })

  // Where a list of options may follow, a word there is taken for its beginning.
  const MAY_GO_ON = /^(delay [^ ]+( [^ ]+){2,5}|thin [^ ]+ [^ ]+|(snapshot(-merge)?|crypt|verity|mirror) .*)$/
  const OPTIONS_AT_END = / \d+( [a-z_]+)+$/
  const whole = LINES.filter(
    ([type, parameters]) => !MAY_GO_ON.test(`${type} ${parameters}`) || OPTIONS_AT_END.test(parameters),
  )

  test.each(whole)('%s %s: words of a newer kernel at its end are passed over', (type, parameters) => {
    const { parseTable } = targetOf(type)
    expect(parseTable(segment(type, `${parameters} new 5/6`))).toEqual(parseTable(segment(type, parameters)))
  })

  test('there is a line for every target', () => {
    expect([...new Set(LINES.map(([type]) => type))].sort()).toEqual([...kernel.knownTargets].sort())
    expect(TARGETS.map(target => target.type).sort()).toEqual([...kernel.knownTargets].sort())
  })
})

describe('a status line', () => {
  test.each<[string, string, unknown]>([
    ['linear', '', null],
    [
      'striped',
      '2 7:0 7:1 1 AD',
      {
        stripes: [
          { device: '7:0', failed: false },
          { device: '7:1', failed: true },
        ],
      },
    ],
    ['delay', '1 2 3', { reads: 1, writes: 2, flushes: 3 }],
    ['log-writes', '4 99', { loggedEntries: 4, lastSector: 99, loggingDisabled: false }],
    ['log-writes', '4 99 logging_disabled', { loggedEntries: 4, lastSector: 99, loggingDisabled: true }],
    ['snapshot', '16/2048 16', { state: 'active', usedSectors: 16, totalSectors: 2048, metadataSectors: 16 }],
    ['snapshot', 'Invalid', { state: 'Invalid' }],
    ['snapshot', 'Overflow', { state: 'Overflow' }],
    ['snapshot-merge', 'Merge failed', { state: 'Merge failed' }],
    ['thin', '256 1279', { state: 'active', mappedBytes: 131072, highestMappedByte: 655359 }],
    ['thin-pool', 'Fail', { mode: 'fail' }],
    ['crypt', '', null],
    ['cache', 'Fail', { state: 'Fail' }],
    [
      'cache',
      '8 17/1024 128 3/64 1 2 3 4 5 6 7 1 writeback 2 migration_threshold 2048 smq 0 rw - ',
      {
        state: 'rw',
        metadataBlockBytes: 4096,
        usedMetadataBlocks: 17,
        totalMetadataBlocks: 1024,
        blockSectors: 128,
        usedCacheBlocks: 3,
        totalCacheBlocks: 64,
        readHits: 1,
        readMisses: 2,
        writeHits: 3,
        writeMisses: 4,
        demotions: 5,
        promotions: 6,
        dirtyBlocks: 7,
        features: { mode: 'writeback' },
        coreArguments: { migration_threshold: '2048' },
        policy: 'smq',
        policyArguments: {},
        needsCheck: false,
      },
    ],
    [
      'era',
      '8 9/1024 3 -',
      {
        state: 'active',
        metadataBlockBytes: 4096,
        usedMetadataBlocks: 9,
        totalMetadataBlocks: 1024,
        currentEra: 3,
        heldMetadataRoot: null,
      },
    ],
    ['era', 'Error', { state: 'Error' }],
    ['verity', 'V', { valid: true }],
    ['verity', 'C 5', { valid: false }],
    ['integrity', '2 7000 -', { mismatches: 2, providedDataSectors: 7000, recalculatedSectors: null }],
    ['integrity', '0 7000 512', { mismatches: 0, providedDataSectors: 7000, recalculatedSectors: 512 }],
    ['integrity', '0 7000', { mismatches: 0, providedDataSectors: 7000, recalculatedSectors: null }],
    [
      'raid',
      'raid1 3 AaD 512/8192 resync 0 0 -',
      {
        raidType: 'raid1',
        health: ['A', 'a', 'D'],
        syncedSectors: 512,
        totalSectors: 8192,
        action: 'resync',
        mismatches: 0,
        dataOffsetSectors: 0,
        journal: '-',
      },
    ],
    [
      'mirror',
      '2 7:0 7:1 1/2 1 AD 3 disk 7:2 A',
      {
        copies: [
          { device: '7:0', health: 'A' },
          { device: '7:1', health: 'D' },
        ],
        syncedRegions: 1,
        totalRegions: 2,
        log: ['disk', '7:2', 'A'],
      },
    ],
  ])('%s: %p', (type, parameters, status) => {
    expect(parseStatusLine(segment(type, parameters))).toEqual({ kind: type, status })
    if (status !== null && !/^[A-Z][a-z ]+$/.test(parameters)) {
      expect(parseStatusLine(segment(type, `${parameters} `))).toEqual({ kind: type, status })
    }
  })

  test('of writecache: what older kernels do not tell is undefined', () => {
    const { parseStatus } = kernel.writecache
    expect(parseStatus(segment('writecache', '0 10 9 1'))).toMatchObject({ freeBlocks: 9, readBlocks: undefined })
    expect(parseStatus(segment('writecache', '-5 10 9 1 1 2 3 4 5 6 7 8 9 10'))).toEqual({
      error: 5,
      totalBlocks: 10,
      freeBlocks: 9,
      writebackBlocks: 1,
      readBlocks: 1,
      readHits: 2,
      writeBlocks: 3,
      writeHitsUncommitted: 4,
      writeHitsCommitted: 5,
      writesAround: 6,
      writesAllocated: 7,
      writesBlockedOnFreelist: 8,
      flushes: 9,
      discardedBlocks: 10,
    })
  })

  test.each([
    ['striped', '2 7:0 7:1 1 AX', 'striped status: word 5 (health) is "AX"'],
    ['striped', '2 7:0 7:1 1 A', 'striped status: word 5 (health) is "A"'],
    ['verity', 'X', 'verity status: word 1 (state) is "X"'],
    ['raid', 'raid1 2 AA 1/2 dance', 'raid status: word 5 (sync action) is "dance"'],
    ['cache', '8 17/1024 128 3/64 1 2 3 4 5 6 7 1 sideways', 'cache status: word 13 (option) is "sideways"'],
    ['era', '8 9 3 -', 'era status: word 2 (metadata blocks) is ""'],
  ])('%s %s is an error that names the place', (type, parameters, message) => {
    expect(thrown(() => parseStatusLine(segment(type, parameters))).message).toContain(message)
  })
})

test.each([
  ['linear', '7:0', 'word 2 (offset) is the end of the line'],
  ['linear', '7:0 -1', 'word 2 (offset) is "-1"'],
  ['striped', '2 8 7:0 0 7:1', 'word 6 (offset) is the end of the line'],
  ['flakey', '7:0 0 1 1 1 explode', 'word 6 (option) is "explode"'],
  ['snapshot', '7:0 7:1 X 16', 'word 3 (persistent) is "X"'],
  ['crypt', 'aes 00 0 7:0 0 1 sector_size:big', 'word 7 (sector_size) is "big"'],
  ['verity', '2 7:0', 'word 1 (version) is "2"'],
  ['raid', 'raid0 1 128 9999999 - 7:0', 'word 7 (metadata device) is the end of the line'],
  ['mirror', 'paper 1 8', 'word 1 (log) is "paper"'],
])('the table %s %s is an error that names the place', (type, parameters, place) => {
  const fault = thrown(() => parseTableLine(segment(type, parameters)))
  expect(fault.code).toBe('DM_KERNEL')
  expect(fault.message).toContain(`${type} table: ${place}`)
})

describe('at random, the same in every run', () => {
  test('lines with words cut off, exchanged or doubled are read or refused, never anything else', () => {
    const random = seeded(31)
    const odd = ['', '-', '/', '0x1', '1e3', '99999999999999999', ':', 'rw', '\\', '\0', '__proto__', '7:0', '1', 'é']
    for (const [type, parameters] of LINES) {
      for (let round = 0; round < 60; round++) {
        const words = parameters.split(' ').slice(0, random.integer(0, parameters.length))
        for (let times = random.integer(1, 3); times > 0; times--) {
          words.splice(random.integer(0, words.length), random.integer(0, 1), random.pick(odd))
        }
        for (const read of [parseTableLine, parseStatusLine]) {
          try {
            expect(read(segment(type, words.join(random.pick([' ', '  ']))))).toMatchObject({ kind: type })
          } catch (fault) {
            expect(fault).toMatchObject({ name: 'DmThinError', code: 'DM_KERNEL' })
          }
        }
      }
    }
  })

  test('tables of options come back as they were written', () => {
    const random = seeded(32)
    const device = () => `${random.integer(1, 4095)}:${random.integer(0, 1048575)}`
    const some = <T extends object>(fields: T): Partial<T> =>
      Object.fromEntries(Object.entries(fields).filter(() => random.boolean())) as Partial<T>
    const number = () => random.integer(0, 2 ** 31)
    for (let round = 0; round < 200; round++) {
      const lengthSectors = random.integer(1, 2 ** 40)
      const same = <T extends kernel.Sized>(target: kernel.Target<T, unknown>, table: T) =>
        expect(target.parseTable(target(table))).toEqual(table)
      same(kernel.linear, { lengthSectors, device: device(), offsetSectors: number() })
      same(kernel.raid, {
        lengthSectors,
        raidType: random.pick(['raid1', 'raid5_ls', 'raid10']),
        chunkSectors: number(),
        devices: Array.from({ length: random.integer(1, 9) }, () => ({
          metadata: random.pick([null, device()]),
          data: random.pick([null, device()]),
        })),
        ...some({ sync: random.pick(['sync', 'nosync'] as const), rebuild: [1, 2], writeMostly: [3] }),
        ...some({ daemonSleepMs: number(), raid10Format: 'near', journalDevice: device() }),
      })
      same(kernel.writecache, {
        lengthSectors,
        kind: random.pick(['p', 's'] as const),
        originDevice: device(),
        cacheDevice: device(),
        blockBytes: random.pick([512, 1024, 4096]),
        ...some({ startSector: number(), highWatermark: 7, cleaner: true, maxAgeMs: 9 }),
        ...some({ writebackFua: random.pick(['fua', 'nofua'] as const), metadataOnly: true }),
      })
      same(kernel.integrity, {
        lengthSectors,
        device: device(),
        reservedSectors: number(),
        mode: random.pick(['J', 'B', 'D', 'R', 'I'] as const),
        ...some({ tagBytes: 4, metaDevice: device(), recalculate: true, internalHash: 'hmac(sha1):00' }),
        ...some({ blockSizeBytes: 4096, commitTimeMs: number(), sectorsPerBit: number(), fixHmac: true }),
      })
      same(kernel.striped, {
        lengthSectors: 24 * random.integer(1, 2 ** 30),
        chunkSectors: 8,
        stripes: [1, 2, 3].map(() => ({ device: device(), offsetSectors: number() })),
      })
    }
  })
})
