// What is no word for the kernel's splitter, and how a target refuses before the kernel is asked.
import {
  crypt,
  defineTarget,
  generic,
  linear,
  parseStatusLine,
  parseTableLine,
  knownTargets,
  type Sized,
} from '../../../lib/entry/kernel'
import { secretsOf } from '../../../lib/kernel/trace/secrets'
import { escapeWord } from '../../../lib/target/words'
import { thrown } from '../../helpers/errors/thrown'

test.each(['', 'a\0b', 'à', '\u00a0', '砠', 'a\ud800', 1.5, Number.NaN, 2 ** 53])('escapeWord rejects %p', word => {
  expect(thrown(() => escapeWord(word)).code).toBe('DM_INVALID_ARGUMENT')
})

test('generic() uses parameters of text unchanged, and escapes the words of an array', () => {
  const segment = { lengthSectors: 8, type: 'switch' }
  expect(generic({ ...segment, parameters: '3 2\\ ' }).parameters).toBe('3 2\\ ')
  expect(generic({ ...segment, parameters: ['a b', 7, 'c\\d'] }).parameters).toBe('a\\ b 7 c\\\\d')
  for (const wrong of [{ type: '' }, { parameters: 'a\0' }, { parameters: 7 }, { lengthSectors: 0 }, { extra: 1 }]) {
    const table = { ...segment, parameters: '', ...wrong } as never
    expect(thrown(() => generic(table)).code).toBe('DM_INVALID_ARGUMENT')
  }
})

describe('a user-defined target', () => {
  interface Switch extends Sized {
    readonly paths: readonly string[]
  }
  const own = defineTarget<Switch, { readonly words: readonly string[] }>({
    type: 'switch',
    options: ['paths'],
    format: ({ paths }) => [paths.length, 8, 0, ...paths.flatMap(path => [path, 0])],
    parseTable(reader) {
      const count = reader.number('paths')
      reader.number('region size')
      reader.number('optional')
      const paths: string[] = []
      while (paths.length < count) {
        paths.push(reader.word('path'))
        reader.number('offset')
      }
      return { paths }
    },
    parseStatus: reader => ({ words: reader.rest() }),
  })
  const segment = own({ lengthSectors: 8, paths: ['7:0', '/dev/a b'] })

  test('writes its line, rejects unknown options, and parses tables and status lines', () => {
    expect(segment).toEqual({ lengthSectors: 8, type: 'switch', parameters: '2 8 0 7:0 0 /dev/a\\ b 0' })
    expect(own.type).toBe('switch')
    const line = { lengthSectors: 8, type: 'switch', parameters: '1 8 0 7:0 0 ' }
    expect(own.parseTable(line)).toEqual({ lengthSectors: 8, paths: ['7:0'] })
    expect(own.parseStatus(line)).toEqual({ words: ['1', '8', '0', '7:0', '0'] })
    expect(thrown(() => own({ lengthSectors: 8, paths: [], path: '' } as never)).message).toContain('"path"')
    expect(thrown(() => own({ lengthSectors: 0.5, paths: [] })).message).toContain('lengthSectors')
    expect(thrown(() => own.parseTable({ ...line, parameters: '2 8 0 7:0 0' })).message).toBe(
      'switch table: word 6 (path) is the end of the line in "2 8 0 7:0 0"',
    )
  })

  test('is used in addition to those of the library, and before them', () => {
    const line = { startSectors: 0, lengthSectors: 8, type: 'switch', parameters: '1 8 0 7:0 0' }
    expect(parseTableLine(line, [own])).toEqual({ kind: 'own', table: { lengthSectors: 8, paths: ['7:0'] } })
    expect(parseTableLine(line)).toEqual({
      kind: 'generic',
      table: { lengthSectors: 8, type: 'switch', parameters: '1 8 0 7:0 0' },
    })
    expect(parseStatusLine(line)).toEqual({ kind: 'generic', status: '1 8 0 7:0 0' })
    expect(parseStatusLine(line, [own])).toMatchObject({ kind: 'own' })
    const mine = defineTarget<Sized>({ type: 'linear', options: [], format: () => [], parseTable: () => ({}) })
    expect(parseTableLine({ ...line, type: 'linear' }, [mine])).toEqual({ kind: 'own', table: { lengthSectors: 8 } })
  })
})

test('parseTable rejects the line of another target, and values that are not lines', () => {
  const line = { lengthSectors: 8, type: 'striped', parameters: '7:0 0' }
  expect(thrown(() => linear.parseTable(line)).message).toBe('this is the line of a target "striped", not of linear')
  for (const wrong of [undefined, null, 7, {}, { type: 'linear' }, { type: 'linear', parameters: 7 }]) {
    for (const read of [linear.parseTable, linear.parseStatus, parseTableLine, parseStatusLine]) {
      expect(thrown(() => read(wrong as never)).code).toBe('DM_INVALID_ARGUMENT')
    }
  }
})

test('names of Object.prototype are not targets', () => {
  const line = { lengthSectors: 8, type: 'constructor', parameters: '' }
  expect(parseTableLine(line)).toMatchObject({ kind: 'generic' })
  expect(knownTargets).toHaveLength(20)
})

test('secretsOf finds keys with any blanks between the words, so that no error contains them', () => {
  const line = (type: string, parameters: string) => ({ lengthSectors: 8, type, parameters })
  expect(secretsOf(line('crypt', '  aes-xts-plain64 \t00ff 0  7:0 0'))).toEqual(['00ff'])
  expect(secretsOf(line('crypt', 'aes-xts-plain64 :32:logon:key 0 7:0 0'))).toEqual([])
  expect(secretsOf(line('integrity', '7:0 0 - J 1\tinternal_hash:hmac(sha256):0a'))).toEqual(['0a'])
})

test('the error that rejects a key does not contain it', () => {
  const key = 'correct horse battery staple'
  const table = { lengthSectors: 8, cipher: 'aes-xts-plain64', key, device: '7:0' }
  expect(thrown(() => crypt(table)).message).not.toContain('horse')
})
