// Extended headers and names: their bytes, exactly.
import { splitPath } from '../../../../lib/store/tar-read/entry-reader'
import { PaxRecords, paxTime, paxValue, xattrsOf } from '../../../../lib/store/tar-read/pax-reader'
import { padding, TarReader } from '../../../../lib/store/tar-read/tar-reader'
import { paxRecord } from '../../../helpers/tree/archives'
import { rejection, thrown } from '../../../helpers/errors/thrown'

test('PaxRecords keeps values of any bytes, uses the last record of a key, and drops a key with an empty value', () => {
  const value = Buffer.from([10, 61, 0, 255, 10])
  const bytes = Buffer.concat([paxRecord('a', value), paxRecord('b', 'first'), paxRecord('b', ''), paxRecord('k', '=')])
  const records = new PaxRecords(bytes)
  expect([...records.keys()]).toEqual(['a', 'b', 'k'])
  expect(paxValue(records, 'a')).toEqual(value)
  expect(paxValue(records, 'b')).toBeUndefined()
  expect(paxValue(records, 'k')).toEqual(Buffer.from('='))
})

test.each(['x', '5 a=\n\n', '05 a=\n', '4 a=b\n', '6 a=b', ' a=b\n', '7 =abc\n', '6 abc\n', '99 a=b\n', '-6 a=b\n'])(
  'PaxRecords rejects the malformed record %j',
  text => {
    expect(thrown(() => new PaxRecords(Buffer.from(text))).code).toBe('DM_LAYER_TAR')
  },
)

test('xattrsOf decodes the names of attributes as GNU tar encodes them', () => {
  const names = ['user.a%3Db', 'user.100%25', 'user.%41', 'user.a%3db']
  const records = new PaxRecords(Buffer.concat(names.map(name => paxRecord(`SCHILY.xattr.${name}`, 'v'))))
  expect([...xattrsOf(records).keys()]).toEqual(['user.a=b', 'user.100%', 'user.%41'])
  expect(thrown(() => xattrsOf(new PaxRecords(paxRecord('SCHILY.xattr.', '')))).code).toBe('DM_LAYER_TAR')
})

test.each([
  ['0', 0, 0],
  ['1.5', 1, 500_000_000],
  ['1.', 1, 0],
  ['1.0000000019', 1, 1],
  ['-1', -1, 0],
  ['-1.25', -2, 750_000_000],
  ['-0.000000001', -1, 999_999_999],
])('paxTime parses the time %s', (text, seconds, nanoseconds) => {
  expect(paxTime(Buffer.from(text))).toEqual({ seconds, nanoseconds })
})

test.each([
  ['a', '', 'a'],
  ['a/b/c', 'a/b', 'c'],
  ['/a//b/./c/', 'a/b', 'c'],
  ['./', '', ''],
  ['/', '', ''],
  ['', '', ''],
  ['..a/b../.c', '..a/b..', '.c'],
  ['...', '', '...'],
])('splitPath splits %j into parent and name', (path, parent, name) => {
  expect(splitPath(path)).toEqual({ parent, name })
})

test.each(['..', 'a/..', '../a', 'a/../b', './..', '/..', 'a\0b'])('splitPath rejects %j', path => {
  expect(thrown(() => splitPath(path)).code).toBe('DM_LAYER_TAR')
})

test('TarReader returns the requested bytes for any pieces of the stream', async () => {
  const bytes = Buffer.from(Array.from({ length: 2000 }, (_, i) => i % 256))
  async function* pieces() {
    for (let at = 0; at < bytes.length; at += 7) yield await Promise.resolve(bytes.subarray(at, at + 7))
  }
  const reader = new TarReader(pieces())
  expect(reader.at(1)).toBeUndefined()
  expect(await reader.exactly(512)).toEqual(bytes.subarray(0, 512))
  expect((await reader.some(100)).length).toBeGreaterThan(0)
  const left = reader.here(1)
  await reader.skip(100)
  expect([left === undefined, await reader.exactly(0)]).toEqual([left === undefined, Buffer.alloc(0)])
  expect(await rejection(() => reader.exactly(5000))).toMatchObject({ code: 'DM_LAYER_TAR' })
  expect(await reader.exactly(512)).toBeUndefined()
  expect([padding(0), padding(1), padding(512), padding(513)]).toEqual([0, 511, 0, 511])
})
