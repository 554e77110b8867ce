import { fraction, LineReader } from '../../../lib/target/line'
import { thrown } from '../../helpers/errors/thrown'

const reader = (line: string) => new LineReader('some status', line)

test('LineReader reads words in their order, with any number of spaces between them', () => {
  const line = reader('  one 2   3/4 18446744073709551615 last ')
  expect(line.word('first')).toBe('one')
  expect(line.number('second')).toBe(2)
  expect(fraction(line, 'third')).toEqual([3, 4])
  expect(line.bigint('fourth')).toBe(18446744073709551615n)
  expect(line.optional()).toBe('last')
  expect(line.oneOf('fifth', ['first', 'last'])).toBe('last')
  expect(line.optional()).toBeUndefined()
  expect(line.optionalOneOf('sixth', ['more'])).toBeUndefined()
})

test.each(['-1', '1.5', '0x10', '1e3', '+1', 'NaN', '9007199254740992', ''])('asNumber() rejects %p', word => {
  expect(thrown(() => reader('x').asNumber('count', word)).code).toBe('DM_KERNEL')
})

test('integer() reads numbers with a sign, and -0 as 0', () => {
  expect(['-3', '3', '-0'].map(word => reader(word).integer('count'))).toEqual([-3, 3, 0])
})

test('sectorBytes() converts sectors to bytes, and rejects sizes that a number cannot represent', () => {
  expect(reader('8').sectorBytes('size')).toBe(4096)
  expect(thrown(() => reader('17592186044416').sectorBytes('size')).message).toContain('word 1 (size)')
})

test.each(['-1', '0x1', '1n', 'x'])('bigint() rejects %p', word => {
  expect(thrown(() => reader(word).bigint('count')).message).toContain('word 1 (count)')
})

test('an error contains the line, the position of the word, its meaning and its value', () => {
  const line = reader('a b')
  line.word('first')
  const { message } = thrown(() => line.oneOf('second', ['x', 'y']))
  expect(message).toBe('some status: word 2 (second) is "b" in "a b"')
  expect(thrown(() => line.word('third')).message).toBe('some status: word 3 (third) is the end of the line in "a b"')
})

test.each(['1', '/', '1/', '/2', '1:2', 'a/b'])('fraction() rejects %p', word => {
  expect(thrown(() => fraction(reader(word), 'blocks')).message).toContain('word 1 (blocks)')
})
