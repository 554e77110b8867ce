import { message } from '../../../lib/target/messages'
import { parseThinStatus, thin } from '../../../lib/target/thin'
import { MAX_THIN_ID, type Sectors } from '../../../lib/base/units'
import { seeded } from '../../helpers/random/random'
import { thrown } from '../../helpers/errors/thrown'

const line = (parameters: string) => ({ lengthSectors: 2097152, type: 'thin', parameters })

describe('the table of thin', () => {
  test('is written in the format of the kernel documentation', () => {
    const table = { lengthSectors: 2097152 as Sectors, poolDevice: '253:0', id: 7 }
    expect(thin(table)).toEqual(line('253:0 7'))
  })

  test('is parsed as it was written', () => {
    const random = seeded(6)
    for (let round = 0; round < 200; round++) {
      const table = {
        lengthSectors: random.integer(1, 2 ** 40) as Sectors,
        poolDevice: `${random.integer(1, 4095)}:${random.integer(0, 1048575)}`,
        id: random.pick([0, MAX_THIN_ID, random.integer(0, MAX_THIN_ID)]),
      }
      expect(thin.parseTable(thin(table))).toEqual(table)
    }
  })

  test('is parsed with an external origin', () => {
    expect(thin.parseTable(line('253:0 7 8:16'))).toMatchObject({ id: 7, externalOrigin: '8:16' })
  })

  test.each([
    ['', 'word 1 (pool) is the end of the line'],
    ['253:0', 'word 2 (thin id) is the end of the line'],
    ['253:0 seven', 'word 2 (thin id) is "seven"'],
  ])('%p is rejected with the position of the error', (parameters, place) => {
    expect(thrown(() => thin.parseTable(line(parameters))).message).toContain(`thin table: ${place}`)
  })
})

describe('the status of thin', () => {
  test('is in bytes, up to the last byte of the highest mapped sector', () => {
    expect(parseThinStatus('256 1279')).toEqual({ state: 'active', mappedBytes: 131072, highestMappedByte: 655359 })
    expect(parseThinStatus('128 127 ')).toEqual({ state: 'active', mappedBytes: 65536, highestMappedByte: 65535 })
    expect(parseThinStatus('0 17592186044415')).toMatchObject({ highestMappedByte: 2 ** 53 - 1 })
  })

  test.each(['0 -', '0 - ', '-', '0'])('has no mapped bytes if the line is %p', printed => {
    expect(parseThinStatus(printed)).toEqual({ state: 'active', mappedBytes: 0, highestMappedByte: null })
  })

  test('is parsed with more words of a newer kernel', () => {
    expect(parseThinStatus('128 127 new 5/6')).toMatchObject({ mappedBytes: 65536, highestMappedByte: 65535 })
  })

  test.each([
    ['Fail', 'fail'],
    ['Error', 'error'],
    ['Fail ', 'fail'],
  ])('has only a state if the line is %p', (word, state) => {
    expect(parseThinStatus(word)).toEqual({ state })
  })

  test.each([
    ['', 'word 1 (mapped sectors) is the end of the line'],
    ['many 1', 'word 1 (mapped sectors) is "many"'],
    ['128 high', 'word 2 (highest mapped sector) is "high"'],
    // Sectors that are a safe number, bytes that are none.
    ['17592186044416 -', 'word 1 (mapped sectors) is "17592186044416"'],
    ['8 17592186044416', 'word 2 (highest mapped sector) is "17592186044416"'],
  ])('%p is rejected with the position of the error', (printed, place) => {
    const error = thrown(() => parseThinStatus(printed))
    expect(error.code).toBe('DM_KERNEL')
    expect(error.message).toContain(`thin status: ${place}`)
  })
})

test('the messages have the format that dm-thin.c parses', () => {
  expect([
    message.createThin(0),
    message.createSnap(1, 0),
    message.delete(MAX_THIN_ID),
    message.setTransactionId(7n, 2n ** 64n - 1n),
    message.reserveMetadataSnap(),
    message.releaseMetadataSnap(),
  ]).toEqual([
    'create_thin 0',
    'create_snap 1 0',
    'delete 16777215',
    'set_transaction_id 7 18446744073709551615',
    'reserve_metadata_snap',
    'release_metadata_snap',
  ])
})
