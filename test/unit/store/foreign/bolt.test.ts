// A database that bbolt itself wrote (bolt/make.go), and the same with any damage.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { gunzipSync } from 'node:zlib'
import fc from 'fast-check'
import { boltRoot, boltTransaction, type Bucket } from '../../../../lib/store/foreign/bolt.js'
import { DmThinError } from '../../../../lib/base/errors.js'

const tree = (): Buffer => gunzipSync(readFileSync(path.join(__dirname, 'bolt/tree.db.gz')))
const PAGE = 4096

const keysOf = (bucket: Bucket | undefined): string[] => [...bucket!.entries()].map(([key]) => key)

test('boltRoot reads buckets and values of a database of bbolt, in the order of the keys', () => {
  const root = boltRoot(tree())
  expect(keysOf(root)).toEqual(['many', 'outer'])
  const many = root.bucket('many')!
  const found = [...many.entries()]
  expect(found.map(([key]) => key)).toEqual(
    Array.from({ length: 3000 }, (_, index) => `key-${String(index).padStart(5, '0')}`),
  )
  for (const [index, [, entry]] of found.entries()) {
    expect('value' in entry && entry.value).toEqual(Buffer.alloc(index % 50, index & 0xff))
  }
  const outer = root.bucket('outer')!
  expect(keysOf(outer)).toEqual(['large', 'small-0', 'small-1', 'small-2'])
  expect(outer.value('large')).toEqual(Buffer.alloc(20_000, 7))
  expect(outer.bucket('small-2')!.value('number')).toEqual(Buffer.from([2]))
  expect([outer.value('small-0'), outer.bucket('large'), outer.value('gone'), root.bucket('none')]).toEqual(
    Array(4).fill(undefined),
  )
})

test('boltRoot reads the last commit whose header is valid', () => {
  const file = tree()
  const last = boltTransaction(file)
  const at = Number(last % 2n) * PAGE // each transaction writes the header that is not the last one's
  file[at + 40]! ^= 1
  expect(boltTransaction(file)).toBe(last - 1n)
  expect(keysOf(boltRoot(file).bucket('outer'))).toContain('gone')
  file[PAGE - at + 40]! ^= 1
  expect(() => boltRoot(file)).toThrow(expect.objectContaining({ code: 'DM_STORE_DATABASE' }) as Error)
  expect(() => boltRoot(Buffer.from('SQLite format 3'))).toThrow(DmThinError)
})

/** All of it, as a reader of records goes through it. */
function readAll(bucket: Bucket, depth = 0): number {
  let entries = 0
  for (const [, entry] of bucket.entries())
    entries += 'bucket' in entry && depth < 3 ? readAll(entry.bucket, depth + 1) : 1
  return entries
}

test('boltRoot of a corrupt database throws the typed error or returns entries, and always ends', () => {
  const whole = tree()
  const { transaction, pages } = { transaction: boltTransaction(whole), pages: whole.length / PAGE }
  // Of pages, mostly the header and the first elements: that is where the way leads on.
  const place = fc.tuple(fc.nat(pages - 1), fc.oneof(fc.nat(100), fc.nat(PAGE - 1)))
  const bytes = fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 8 }),
    fc.nat(pages).map(id => Uint8Array.from([id, 0, 0, 0, 0, 0, 0, 0])),
  )
  fc.assert(
    fc.property(fc.array(fc.tuple(place, bytes), { minLength: 1, maxLength: 6 }), damage => {
      const file = Buffer.from(whole)
      for (const [[page, at], with_] of damage) Buffer.from(with_).copy(file, page * PAGE + at)
      try {
        expect(readAll(boltRoot(file))).toBeLessThan(1_000_000)
        expect(boltTransaction(file)).toBeLessThanOrEqual(transaction)
      } catch (fault) {
        if (!(fault instanceof DmThinError)) throw fault
        expect(fault.code).toBe('DM_STORE_DATABASE')
      }
    }),
    { numRuns: 300 },
  )
})
