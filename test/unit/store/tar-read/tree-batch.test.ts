// What is packed for the native side is what native/tree/write_batch.h says of it.
import type { TarEntry } from '../../../../lib/store/tar-read/entry-reader'
import { entryBytes, RECORD_BYTES, removalBytes, TreeBatch } from '../../../../lib/store/tar-read/tree-batch'

const ENTRY: TarEntry = {
  type: 'symlink',
  parent: 'a/b',
  name: 'caf\xe9',
  link: '../x',
  mode: 0o4755,
  uid: 4294967294,
  gid: 7,
  major: 1,
  minor: 300,
  modified: { seconds: -2, nanoseconds: 750_000_000 },
  accessed: { seconds: 2 ** 40 + 5, nanoseconds: 1 },
  xattrs: new Map([
    ['user.a', Buffer.from([0, 255])],
    ['user.empty', Buffer.alloc(0)],
  ]),
  storedBytes: 0,
}
const bytesOf = (batch: TreeBatch) => Buffer.from(batch.packed)

test('a batch encodes an entry', () => {
  const batch = new TreeBatch(1000)
  expect(batch.empty).toBe(true)
  batch.entry(ENTRY, 5, true).write('12345')
  const bytes = bytesOf(batch)
  const numbers = Array.from({ length: 8 }, (_, i) => bytes.readUInt32LE(4 * i))
  expect(numbers).toEqual([1, 2, 1, 0o4755, 4294967294, 7, 1, 300])
  expect([bytes.readBigInt64LE(32), bytes.readBigInt64LE(40)]).toEqual([-2n, 2n ** 40n + 5n])
  expect([bytes.readUInt32LE(48), bytes.readUInt32LE(52)]).toEqual([750_000_000, 1])
  const lengths = Array.from({ length: 5 }, (_, i) => bytes.readUInt32LE(56 + 4 * i))
  expect(lengths).toEqual([3, 4, 4, 8 + 6 + 1 + 2 + 8 + 10 + 1, 5])
  const attributes = '\x06\0\0\0\x02\0\0\0user.a\0\0\xff' + '\x0a\0\0\0\0\0\0\0user.empty\0'
  expect(bytes.subarray(76).toString('latin1')).toBe(`a/b\0caf\xe9\0../x\0${attributes}12345`)
})

test('a batch encodes data, a chunk, an end and a removal', () => {
  const batch = new TreeBatch(1000)
  const chunk = Buffer.from('elsewhere')
  batch.data(2 ** 33 + 1, Buffer.from('abc'))
  batch.chunk(7, chunk)
  batch.end(2 ** 52)
  batch.whiteout('d', 'n')
  batch.opaque('')
  const expected = Buffer.concat([
    Buffer.from('02000000030000000100000002000000', 'hex'),
    Buffer.from('abc'),
    Buffer.from('03000000000000000700000000000000', 'hex'),
    Buffer.from('04000000000000000000000000001000', 'hex'),
    Buffer.from('050000000100000001000000', 'hex'),
    Buffer.from('d\0n\0'),
    Buffer.from('060000000000000000', 'hex'),
  ])
  expect(bytesOf(batch)).toEqual(expected)
  expect(batch.chunks).toEqual([chunk])
  expect(batch.chunkBytes).toBe(9)
  batch.clear()
  expect([batch.empty, batch.chunks.length, batch.chunkBytes, batch.packed.length]).toEqual([true, 0, 0, 0])
})

test('the encoded size of an operation is equal to its estimate', () => {
  for (const content of [0, 100]) {
    const batch = new TreeBatch(1000)
    batch.entry(ENTRY, content, false)
    expect(batch.packed.length).toBeLessThanOrEqual(entryBytes(ENTRY) + content)
    expect(batch.fits(1000 - batch.packed.length)).toBe(true)
    expect(batch.fits(1001 - batch.packed.length)).toBe(false)
  }
  const removal = new TreeBatch(100)
  removal.whiteout('parent', 'name')
  expect(removal.packed.length).toBeLessThanOrEqual(removalBytes('parent', 'name'))
  const end = new TreeBatch(100)
  end.end(1)
  expect(end.packed.length).toBe(RECORD_BYTES)
})
