import { parsePoolStatus, parsePoolTable, poolTableLine, type PoolTable } from '../../../lib/target/thin-pool'
import type { Sectors } from '../../../lib/base/units'
import { seeded } from '../../helpers/random/random'
import { thrown } from '../../helpers/errors/thrown'

const PLAIN: PoolTable = {
  lengthSectors: 20971522 as Sectors,
  metadataDevice: '7:1',
  dataDevice: '7:0',
  blockSectors: 128 as Sectors,
  lowWaterBlocks: 65536,
  skipBlockZeroing: false,
  ignoreDiscard: false,
  noDiscardPassdown: false,
  readOnly: false,
  errorIfNoSpace: false,
}
const FLAGS = ['skipBlockZeroing', 'ignoreDiscard', 'noDiscardPassdown', 'readOnly', 'errorIfNoSpace'] as const
const line = (parameters: string) => ({ startSectors: 0, lengthSectors: 1024, type: 'thin-pool', parameters })

describe('the table of thin-pool', () => {
  test('is written in the format of the kernel documentation', () => {
    expect(poolTableLine({ ...PLAIN, skipBlockZeroing: true })).toEqual({
      startSectors: 0,
      lengthSectors: 20971522,
      type: 'thin-pool',
      parameters: '7:1 7:0 128 65536 1 skip_block_zeroing',
    })
    expect(poolTableLine(PLAIN).parameters).toBe('7:1 7:0 128 65536 0')
  })

  test('is parsed as it was written, with any values', () => {
    const random = seeded(4)
    for (let round = 0; round < 300; round++) {
      const table: PoolTable = {
        ...PLAIN,
        ...Object.fromEntries(FLAGS.map(flag => [flag, random.boolean()])),
        lengthSectors: random.integer(1, 2 ** 40) as Sectors,
        metadataDevice: `${random.integer(1, 4095)}:${random.integer(0, 1048575)}`,
        dataDevice: `${random.integer(1, 4095)}:${random.integer(0, 1048575)}`,
        blockSectors: (128 * random.integer(1, 16384)) as Sectors,
        lowWaterBlocks: random.integer(0, 2 ** 40),
      }
      expect(parsePoolTable(poolTableLine(table))).toEqual(table)
    }
  })

  test('is parsed with a blank at its end and features in another order, as kernels print them', () => {
    const { parameters: _, ...rest } = line('')
    expect(
      parsePoolTable({ ...rest, parameters: '7:1 7:0 128 0 2 error_if_no_space skip_block_zeroing ' }),
    ).toMatchObject({ lowWaterBlocks: 0, errorIfNoSpace: true, skipBlockZeroing: true, readOnly: false })
    expect(parsePoolTable(line('7:1 7:0 128 0'))).toMatchObject({ blockSectors: 128, skipBlockZeroing: false })
  })

  test('is parsed with unknown features', () => {
    expect(parsePoolTable(line('7:1 7:0 128 0 2 read_only from_the_future'))).toMatchObject({ readOnly: true })
  })

  test.each([
    ['', 'word 1 (metadata device) is the end of the line'],
    ['7:1', 'word 2 (data device) is the end of the line'],
    ['7:1 7:0 x 0', 'word 3 (data block size) is "x"'],
    ['7:1 7:0 128 -1', 'word 4 (low-water mark) is "-1"'],
    ['7:1 7:0 128 0 two', 'word 5 (number of options) is "two"'],
    ['7:1 7:0 128 0 2 read_only', 'word 7 (option) is the end of the line'],
  ])('%p is rejected with the position of the error', (parameters, place) => {
    const error = thrown(() => parsePoolTable(line(parameters)))
    expect(error.code).toBe('DM_KERNEL')
    expect(error.message).toBe(`thin-pool table: ${place} in ${JSON.stringify(parameters)}`)
  })
})

describe('the status of thin-pool', () => {
  const fresh = {
    mode: 'rw',
    transactionId: 0n,
    usedMetadataBlocks: 4129,
    totalMetadataBlocks: 65536,
    usedDataBlocks: 0,
    totalDataBlocks: 327680,
    heldMetadataRoot: null,
    discard: 'discard_passdown',
    whenFull: 'queue_if_no_space',
    needsCheck: false,
    metadataLowWaterBlocks: 1024,
  }

  test('is parsed for a new pool as kernel 6.12 prints it', () => {
    const printed = '0 4129/65536 0/327680 - rw discard_passdown queue_if_no_space - 1024 '
    expect(parsePoolStatus(printed)).toEqual(fresh)
  })

  test.each([
    ['rw discard_passdown queue_if_no_space -', { metadataLowWaterBlocks: undefined }],
    ['rw discard_passdown queue_if_no_space', { metadataLowWaterBlocks: undefined, needsCheck: false }],
    ['rw discard_passdown', { metadataLowWaterBlocks: undefined, whenFull: 'queue_if_no_space' }],
  ])('is parsed without the last fields, as an older kernel prints it: %s', (tail, differing) => {
    expect(parsePoolStatus(`0 4129/65536 0/327680 - ${tail}`)).toEqual({ ...fresh, ...differing })
  })

  test('is parsed with more fields, as a newer kernel may print it', () => {
    const printed = '0 4129/65536 0/327680 - rw discard_passdown queue_if_no_space - 1024 17 new_word 3/4'
    expect(parsePoolStatus(printed)).toEqual(fresh)
  })

  test.each(['rw', 'ro', 'out_of_data_space'])('has the mode %s', mode => {
    expect(parsePoolStatus(`0 1/2 3/4 - ${mode} no_discard_passdown error_if_no_space - 1`)).toMatchObject({
      mode,
      discard: 'no_discard_passdown',
      whenFull: 'error_if_no_space',
    })
  })

  test.each([
    ['Fail', 'fail'],
    ['Error', 'error'],
    ['Fail ', 'fail'],
  ])('has only a mode if the line is %p', (word, mode) => {
    expect(parsePoolStatus(word)).toEqual({ mode })
  })

  test('has needsCheck and the metadata snapshot of a read-only pool', () => {
    const printed = '42 100/4096 7/16384 83 ro ignore_discard queue_if_no_space needs_check 1024 '
    expect(parsePoolStatus(printed)).toMatchObject({
      mode: 'ro',
      transactionId: 42n,
      heldMetadataRoot: 83,
      discard: 'ignore_discard',
      needsCheck: true,
    })
  })

  test('has a transaction id of 64 bits', () => {
    const printed = '18446744073709551615 1/2 3/4 - rw discard_passdown queue_if_no_space - 1'
    expect(parsePoolStatus(printed)).toMatchObject({ transactionId: 2n ** 64n - 1n })
  })

  test.each([
    ['', 'word 1 (transaction id) is the end of the line'],
    ['x 1/2 3/4 - rw discard_passdown', 'word 1 (transaction id) is "x"'],
    ['0 1 3/4 - rw discard_passdown', 'word 2 (metadata blocks) is ""'],
    ['0 1/2 3/y - rw discard_passdown', 'word 3 (data blocks) is "y"'],
    ['0 1/2 3/4 root rw discard_passdown', 'word 4 (held metadata root) is "root"'],
    ['0 1/2 3/4 - RW discard_passdown', 'word 5 (mode) is "RW"'],
    ['0 1/2 3/4 -', 'word 5 (mode) is the end of the line'],
    ['0 1/2 3/4 - rw maybe', 'word 6 (discard) is "maybe"'],
    ['0 1/2 3/4 - rw discard_passdown wait', 'word 7 (when full) is "wait"'],
    ['0 1/2 3/4 - rw discard_passdown queue_if_no_space fine', 'word 8 (needs check) is "fine"'],
    ['0 1/2 3/4 - rw discard_passdown queue_if_no_space - low', 'word 9 (metadata low-water mark) is "low"'],
    ['0 99999999999999999/2 3/4 - rw discard_passdown', 'word 2 (metadata blocks) is "99999999999999999"'],
  ])('%p is rejected with the position of the error', (printed, place) => {
    const error = thrown(() => parsePoolStatus(printed))
    expect(error.code).toBe('DM_KERNEL')
    expect(error.message).toBe(`thin-pool status: ${place} in ${JSON.stringify(printed)}`)
  })

  test('is parsed or rejected with DM_KERNEL if a word is missing or replaced', () => {
    const random = seeded(5)
    const words = '0 4129/65536 0/327680 - rw discard_passdown queue_if_no_space - 1024'.split(' ')
    for (let round = 0; round < 500; round++) {
      const changed = [...words].slice(0, random.integer(0, words.length))
      if (changed.length > 0) changed[random.integer(0, changed.length - 1)] = random.pick(['', '-', '/', '0x1', '1e3'])
      try {
        expect(parsePoolStatus(changed.join(' '))).toHaveProperty('mode')
      } catch (fault) {
        expect(fault).toMatchObject({ code: 'DM_KERNEL' })
      }
    }
  })
})
