// Every target with words of its own: lines as kernels print them, read, and written again; what is refused.
import * as kernel from '../../../lib/entry/kernel'
import { parseStatusLine, parseTableLine, type Segment } from '../../../lib/entry/kernel'
import { LINES } from '../../helpers/target/lines'
import { thrown } from '../../helpers/errors/thrown'

const segment = (type: string, parameters: string, lengthSectors = 8192): Segment => ({
  lengthSectors,
  type,
  parameters,
})

const TARGETS = Object.values(kernel).filter(
  (each): each is typeof kernel.linear => typeof each === 'function' && 'parseTable' in each,
)
const targetOf = (type: string) => TARGETS.find(target => target.type === type)!

/** `toMatchObject` compares lists whole; here a part of each element will do. */
const inPart = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(inPart)
  if (typeof value !== 'object' || value === null) return value
  const fields = Object.entries(value).map(([name, field]) => [name, inPart(field)])
  return expect.objectContaining(Object.fromEntries(fields) as object) as unknown
}

describe('table lines', () => {
  test.each(LINES)('the line of %s, "%s", is parsed and written back unchanged', (type, parameters, read) => {
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

  test.each(whole)('the line of %s, "%s", is parsed with unknown words at its end', (type, parameters) => {
    const { parseTable } = targetOf(type)
    expect(parseTable(segment(type, `${parameters} new 5/6`))).toEqual(parseTable(segment(type, parameters)))
  })

  test('this test has a line for every target', () => {
    expect([...new Set(LINES.map(([type]) => type))].sort()).toEqual([...kernel.knownTargets].sort())
    expect(TARGETS.map(target => target.type).sort()).toEqual([...kernel.knownTargets].sort())
  })
})

describe('status lines', () => {
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
  ])('the line of %s, %p, is parsed', (type, parameters, status) => {
    expect(parseStatusLine(segment(type, parameters))).toEqual({ kind: type, status })
    if (status !== null && !/^[A-Z][a-z ]+$/.test(parameters)) {
      expect(parseStatusLine(segment(type, `${parameters} `))).toEqual({ kind: type, status })
    }
  })

  test('the line of writecache from an older kernel has undefined for the missing fields', () => {
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
  ])('the line of %s, "%s", is rejected with the position of the error', (type, parameters, message) => {
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
])('the table line of %s, "%s", is rejected with the position of the error', (type, parameters, place) => {
  const fault = thrown(() => parseTableLine(segment(type, parameters)))
  expect(fault.code).toBe('DM_KERNEL')
  expect(fault.message).toContain(`${type} table: ${place}`)
})
