import { checkBoolean, checkName, checkOptions, checkPath, checkText } from '../../../lib/base/options'
import { seeded } from '../../helpers/random/random'
import { thrown } from '../../helpers/errors/thrown'

const refused = (act: () => unknown): string => {
  const error = thrown(act)
  expect(error.code).toBe('DM_INVALID_ARGUMENT')
  return error.message
}

describe('names of devices', () => {
  test.each(['a', 'demo-7', '0', 'A#+-.:=@_z', '.hidden', '...', 'controls', 'x'.repeat(127)])(
    '%s is a valid name',
    name => {
      expect(checkName(name)).toBe(name)
    },
  )

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
  ])('%p is not a valid name', (name, why) => {
    expect(refused(() => checkName(name))).toContain(why)
  })

  test('the message names the option of an invalid name', () => {
    expect(refused(() => checkName('', 'volume name'))).toMatch(/^volume name must be/)
  })

  test('a character outside the allowed set is refused at any position of a name', () => {
    const random = seeded(1)
    for (let round = 0; round < 500; round++) {
      const odd = String.fromCodePoint(random.pick([random.integer(0, 34), 0x2f, 0x5c, random.integer(0x7b, 0xd7ff)]))
      const before = 'x'.repeat(random.integer(0, 20))
      if (/[#+\-.:=@_0-9A-Za-z]/.test(odd)) continue
      refused(() => checkName(`${before}${odd}y`))
    }
  })
})

describe('options', () => {
  test('an unknown option is refused, and the message lists the known ones', () => {
    const message = refused(() => checkOptions({ sizeBytes: 1, nmae: 'x' }, ['sizeBytes', 'name'], 'createVolume'))
    expect(message).toBe('createVolume: unknown option "nmae"; known are sizeBytes, name')
  })

  test('known options are accepted, with and without a value', () => {
    checkOptions({}, ['name'], 'call')
    checkOptions({ name: undefined }, ['name'], 'call')
  })

  test.each([[undefined], [null], [7], ['name'], [[]], [() => {}]])('%p is refused as options', options => {
    expect(refused(() => checkOptions(options, ['name'], 'call'))).toMatch(/^call: options must be an object/)
  })

  test.each([[new AbortController()], ['abort'], [null], [{ aborted: false }]])('%p is refused as a signal', signal => {
    expect(refused(() => checkOptions({ signal }, ['signal'], 'call'))).toMatch(/^signal must be an AbortSignal/)
  })

  test('a signal of another class is accepted, such as one of another realm or of jsdom', () => {
    class Foreign extends EventTarget {
      readonly aborted = false
    }
    checkOptions({ signal: new Foreign() }, ['signal'], 'call')
  })

  test('AbortSignal.abort(), AbortSignal.timeout(), AbortController and undefined are accepted', () => {
    const signals = [AbortSignal.abort(), AbortSignal.timeout(1e6), new AbortController().signal, undefined]
    for (const signal of signals) checkOptions({ signal }, ['signal'], 'call')
  })
})

test('a flag accepts true, false and undefined only', () => {
  expect([true, false, undefined].map(value => checkBoolean('readOnly', value))).toEqual([true, false, false])
  for (const value of [1, 0, 'true', null, {}]) {
    expect(refused(() => checkBoolean('readOnly', value))).toMatch(/^readOnly must be true or false/)
  }
})

test('text and paths have no half of a character: there are no bytes for it', () => {
  for (const check of [checkText, checkPath]) {
    expect(check('data', 'ein Bär 𝄞')).toBe('ein Bär 𝄞')
    for (const half of ['\ud800', 'a\udc00b']) expect(refused(() => check('data', half))).toMatch(/unpaired surrogate/)
  }
})

test('a path is a string that the kernel can take', () => {
  expect(checkPath('file', '../data file.img')).toBe('../data file.img')
  for (const value of ['', 7, undefined, null, Buffer.from('x')]) {
    expect(refused(() => checkPath('file', value))).toMatch(/^file must be a path/)
  }
  expect(refused(() => checkPath('file', 'a\0b'))).toContain('NUL')
})
