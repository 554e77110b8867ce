import { poolStatus, volumeStatus } from '../../../lib/pool/state/status'
import { parsePoolTable } from '../../../lib/target/thin-pool'

const table = (features: string) =>
  parsePoolTable({
    startSectors: 0,
    lengthSectors: 20971522,
    type: 'thin-pool',
    parameters: `7:1 7:0 128 100 ${features}`,
  })

test('poolStatus reports data and metadata in blocks and bytes of their own block sizes', () => {
  const printed = '3 4129/65536 10/163840 - rw discard_passdown queue_if_no_space - 1024 '
  expect(poolStatus(printed, table('0'))).toEqual({
    mode: 'rw',
    data: { usedBlocks: 10, totalBlocks: 163840, blockBytes: 65536, usedBytes: 655360, totalBytes: 10737418240 },
    metadata: {
      usedBlocks: 4129,
      totalBlocks: 65536,
      blockBytes: 4096,
      usedBytes: 4129 * 4096,
      totalBytes: 65536 * 4096,
      lowWaterMarkBlocks: 1024,
    },
    transactionId: 3n,
    lowWaterMark: { blocks: 100, bytes: 6553600 },
    needsCheck: false,
    heldMetadataRoot: null,
    discard: 'discard_passdown',
    whenFull: 'queue_if_no_space',
  })
})

test('poolStatus reports the features that the kernel printed instead of those in the table', () => {
  const printed = '3 1/2 3/4 - out_of_data_space no_discard_passdown error_if_no_space - 1'
  expect(poolStatus(printed, table('0'))).toMatchObject({
    mode: 'out_of_data_space',
    discard: 'no_discard_passdown',
    whenFull: 'error_if_no_space',
  })
})

test.each([
  ['Fail', 'fail'],
  ['Error', 'error'],
])('poolStatus for the status line %s has the mode %s and no figures, and needs a check', (printed, mode) => {
  const status = poolStatus(printed, table('2 error_if_no_space ignore_discard'))
  expect(status).toMatchObject({ mode, needsCheck: true, lowWaterMark: { blocks: 100, bytes: 6553600 } })
  expect(status).toMatchObject({ whenFull: 'error_if_no_space', discard: 'ignore_discard' })
  const { data, metadata, transactionId, heldMetadataRoot } = status
  expect([data, metadata, transactionId, heldMetadataRoot]).toEqual([undefined, undefined, undefined, undefined])
})

test('volumeStatus reports sizes in bytes, and undefined sizes for a failed volume', () => {
  expect(volumeStatus('256 1279', 2097152)).toEqual({
    state: 'active',
    sizeBytes: 1073741824,
    mappedBytes: 131072,
    highestMappedByte: 655359,
  })
  expect(volumeStatus('Fail', 2097152)).toEqual({
    state: 'fail',
    sizeBytes: 1073741824,
    mappedBytes: undefined,
    highestMappedByte: undefined,
  })
})
