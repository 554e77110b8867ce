// The map in front of a sparse file's content (GNU, version 1.0): taken in parts, and refused at its first wrong line.
import { paxSparse } from '../../../../lib/store/tar-read/sparse-map.js'
import { PaxRecords } from '../../../../lib/store/tar-read/pax-reader.js'
import { TarReader } from '../../../../lib/store/tar-read/tar-reader.js'
import { paxRecord } from '../../../helpers/tree/archives.js'
import { rejection } from '../../../helpers/errors/thrown.js'

const BLOCK_BYTES = 512
const RECORDS: readonly [string, string][] = [
  ['GNU.sparse.major', '1'],
  ['GNU.sparse.minor', '0'],
  ['GNU.sparse.realsize', '100000000000'],
]

const records = () => new PaxRecords(Buffer.concat(RECORDS.map(([key, value]) => paxRecord(key, value))))

/** A reader of `text`, filled with zeros to whole blocks, that counts the blocks that were read. */
function readerOf(text: string) {
  const bytes = Buffer.alloc(Math.ceil(text.length / BLOCK_BYTES) * BLOCK_BYTES)
  bytes.write(text, 'latin1')
  let blocks = 0
  async function* chunks() {
    for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
      blocks += 1
      yield await Promise.resolve(bytes.subarray(at, at + BLOCK_BYTES))
    }
  }
  return { reader: new TarReader(chunks()), mapBytes: bytes.length, blocks: () => blocks }
}

const piecesOf = (count: number) => Array.from({ length: count }, (_, at) => [at * 8192, 4096]).flat()
const mapOf = (count: number) => `${count}\n${piecesOf(count).join('\n')}\n`

test.each([0, 1, 50, 51, 1000, 20_000])('a map of %i pieces is read with all its pieces', async count => {
  const { reader, mapBytes } = readerOf(mapOf(count))
  const map = await paxSparse(records(), mapBytes + 4096 * count, reader)
  expect(map).toEqual({ pieces: piecesOf(count), sizeBytes: 100_000_000_000, mapBytes })
})

test('a large map is split one block at a time', async () => {
  const { reader, mapBytes } = readerOf(mapOf(20_000))
  const split = jest.spyOn(String.prototype, 'split')
  try {
    await paxSparse(records(), mapBytes + 4096 * 20_000, reader)
    const largest = Math.max(...split.mock.results.map(({ value }) => (value as string[]).length))
    expect(largest).toBeLessThanOrEqual(BLOCK_BYTES + 1)
  } finally {
    split.mockRestore()
  }
})

test.each([
  ['a line that is not a number', `1000000\n0\nx\n${'1\n'.repeat(10_000)}`],
  ['a line without an end', `1000000\n${'1'.repeat(20_000)}`],
  ['a count without an end', '1'.repeat(20_000)],
  ['more pieces than a file can have', `1000001\n${'1\n'.repeat(10_000)}`],
])('a map with %s is rejected before it is read to its end', async (_, text) => {
  const { reader, mapBytes, blocks } = readerOf(text)
  expect(await rejection(() => paxSparse(records(), mapBytes, reader))).toMatchObject({ code: 'DM_LAYER_TAR' })
  expect(blocks()).toBeLessThanOrEqual(2)
})

test('a map that is longer than the content is rejected', async () => {
  const { reader, mapBytes } = readerOf(mapOf(1000))
  const error = await rejection(() => paxSparse(records(), mapBytes - BLOCK_BYTES, reader))
  expect(error.message).toMatch(/does not end/)
})
