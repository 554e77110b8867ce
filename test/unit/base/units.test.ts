import { checkNumber, shown } from '../../../lib/base/options'
import { GiB, KiB, MAX_METADATA_BYTES, MAX_THIN_ID, MiB, sectors, sectorsToBytes, TiB } from '../../../lib/base/units'
import { seeded } from '../../helpers/random/random'
import { thrown } from '../../helpers/errors/thrown'

test('the units are powers of 1024, and the limits are those of the kernel', () => {
  expect([KiB, MiB, GiB, TiB]).toEqual([1024, 1024 ** 2, 1024 ** 3, 1024 ** 4])
  expect(MAX_THIN_ID).toBe(0xffffff)
  expect(MAX_METADATA_BYTES / GiB).toBeCloseTo(15.875, 1)
})

test('a size in bytes survives conversion to sectors and back', () => {
  const random = seeded(2)
  for (let round = 0; round < 200; round++) {
    const bytes = random.integer(0, 2 ** 40) * 512
    expect(sectorsToBytes(sectors(bytes))).toBe(bytes)
  }
})

describe('checkNumber', () => {
  const range = { min: 65536, max: 1073741824, multipleOf: 65536 }
  const refused = (value: unknown) => thrown(() => checkNumber('dataBlockBytes', value, range))

  test.each([65536, 131072, 1073741824])('accepts %d', value => {
    expect(checkNumber('dataBlockBytes', value, range)).toBe(value)
  })

  test.each([
    [65535],
    [0],
    [-65536],
    [65537],
    [98304],
    [1073741824 + 65536],
    [65536.5],
    [NaN],
    [Infinity],
    ['65536'],
    [65536n],
    [null],
    [undefined],
    [Object(65536)],
  ])('rejects %p', value => {
    expect(refused(value).code).toBe('DM_INVALID_ARGUMENT')
  })

  test('names the option, the range, the step and the value in its message', () => {
    expect(refused(65537).message).toBe(
      'dataBlockBytes must be a whole number from 65536 to 1073741824 in steps of 65536, but is 65537',
    )
  })

  test('has Number.MAX_SAFE_INTEGER as its default maximum', () => {
    expect(checkNumber('n', Number.MAX_SAFE_INTEGER, { min: 0 })).toBe(Number.MAX_SAFE_INTEGER)
    expect(thrown(() => checkNumber('n', Number.MAX_SAFE_INTEGER + 1, { min: 0 })).message).toContain(
      `to ${Number.MAX_SAFE_INTEGER},`,
    )
  })

  test('accepts exactly the numbers within the range and on a step', () => {
    const random = seeded(3)
    for (let round = 0; round < 500; round++) {
      const min = random.integer(0, 100)
      const limits = { min, max: min + random.integer(0, 100), multipleOf: random.integer(1, 7) }
      const value = random.integer(-10, 220)
      const inside = value >= min && value <= limits.max && value % limits.multipleOf === 0
      if (inside) expect(checkNumber('n', value, limits)).toBe(value)
      else thrown(() => checkNumber('n', value, limits))
    }
  })
})

test.each([
  ['a"b', '"a\\"b"'],
  [7n, '7n'],
  [undefined, 'undefined'],
  [null, 'null'],
  [Symbol('x'), 'Symbol(x)'],
  [[1, 2], 'an array'],
  [{ toString: 'no function' }, 'an object'],
  [Object.create(null), 'an object'],
  [() => 'secret', 'a function'],
])('a message shows %p as %s', (value, text) => {
  expect(shown(value)).toBe(text)
})
