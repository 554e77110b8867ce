import { checkBoolean, checkName, checkOptions, checkPath, checkText } from '../../../lib/base/options'
import { seeded } from '../../helpers/random/random'
import { thrown } from '../../helpers/errors/thrown'

const refused = (act: () => unknown): string => {
  const error = thrown(act)
  expect(error.code).toBe('DM_INVALID_ARGUMENT')
  return error.message
}

describe('checkName', () => {
  test.each(['a', 'demo-7', '0', 'A#+-.:=@_z', '.hidden', '...', 'controls', 'x'.repeat(127)])('accepts %s', name => {
    expect(checkName(name)).toBe(name)
  })

  test.each([
    ['', 'non-empty'],
    ['x'.repeat(128), 'at most 127 bytes, but has 128'],
    ['ä'.repeat(64), 'at most 127 bytes, but has 128'],
    ['a/b', 'has "/"'],
    ['a b', 'has " "'],
    ['a\0b', 'has "\\u0000"'],
    ['a\nb', 'has "\\n"'],
    ['größe', 'has "ö"'],
    ['.', 'reserved'],
    ['..', 'reserved'],
    ['control', 'reserved'],
    [7, 'non-empty string, but is 7'],
    [undefined, 'but is undefined'],
    [['a'], 'but is an array'],
  ])('rejects %p', (name, why) => {
    expect(refused(() => checkName(name))).toContain(why)
  })

  test('names the option in its message', () => {
    expect(refused(() => checkName('', 'volume name'))).toMatch(/^volume name must be/)
  })

  test('rejects a character outside the allowed set at any position of a name', () => {
    const random = seeded(1)
    for (let round = 0; round < 500; round++) {
      const odd = String.fromCodePoint(random.pick([random.integer(0, 34), 0x2f, 0x5c, random.integer(0x7b, 0xd7ff)]))
      const before = 'x'.repeat(random.integer(0, 20))
      if (/[#+\-.:=@_0-9A-Za-z]/.test(odd)) continue
      refused(() => checkName(`${before}${odd}y`))
    }
  })
})

describe('checkOptions', () => {
  test('rejects an unknown option, and lists the known ones in its message', () => {
    const message = refused(() => checkOptions({ sizeBytes: 1, nmae: 'x' }, ['sizeBytes', 'name'], 'createVolume'))
    expect(message).toBe('createVolume: unknown option "nmae"; known are sizeBytes, name')
  })

  test('accepts known options with and without a value', () => {
    checkOptions({}, ['name'], 'call')
    checkOptions({ name: undefined }, ['name'], 'call')
  })

  test.each([[undefined], [null], [7], ['name'], [[]], [() => {}]])('rejects %p as options', options => {
    expect(refused(() => checkOptions(options, ['name'], 'call'))).toMatch(/^call: options must be an object/)
  })

  test.each([[new AbortController()], ['abort'], [null], [{ aborted: false }]])('rejects %p as a signal', signal => {
    expect(refused(() => checkOptions({ signal }, ['signal'], 'call'))).toMatch(/^signal must be an AbortSignal/)
  })

  test('accepts a signal of another class, such as one of another realm or of jsdom', () => {
    class Foreign extends EventTarget {
      readonly aborted = false
    }
    checkOptions({ signal: new Foreign() }, ['signal'], 'call')
  })

  test('accepts AbortSignal.abort(), AbortSignal.timeout(), the signal of an AbortController and undefined', () => {
    const signals = [AbortSignal.abort(), AbortSignal.timeout(1e6), new AbortController().signal, undefined]
    for (const signal of signals) checkOptions({ signal }, ['signal'], 'call')
  })
})

test('checkBoolean accepts true, false and undefined only', () => {
  expect([true, false, undefined].map(value => checkBoolean('readOnly', value))).toEqual([true, false, false])
  for (const value of [1, 0, 'true', null, {}]) {
    expect(refused(() => checkBoolean('readOnly', value))).toMatch(/^readOnly must be true or false/)
  }
})

test('checkText and checkPath reject an unpaired surrogate, which has no bytes in UTF-8', () => {
  for (const check of [checkText, checkPath]) {
    expect(check('data', 'ein Bär 𝄞')).toBe('ein Bär 𝄞')
    for (const half of ['\ud800', 'a\udc00b']) expect(refused(() => check('data', half))).toMatch(/unpaired surrogate/)
  }
})

test('checkPath accepts non-empty strings without a NUL character only', () => {
  expect(checkPath('file', '../data file.img')).toBe('../data file.img')
  for (const value of ['', 7, undefined, null, Buffer.from('x')]) {
    expect(refused(() => checkPath('file', value))).toMatch(/^file must be a path/)
  }
  expect(refused(() => checkPath('file', 'a\0b'))).toContain('NUL')
})
