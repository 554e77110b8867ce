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

test.each(['', 'a\0b', 'à', '\u00a0', '砠', 'a\ud800', 1.5, Number.NaN, 2 ** 53])('%p is refused as a word', word => {
  expect(thrown(() => escapeWord(word)).code).toBe('DM_INVALID_ARGUMENT')
})

test('a generic segment takes text as it is, and escapes the words of an array', () => {
  const segment = { lengthSectors: 8, type: 'switch' }
  expect(generic({ ...segment, parameters: '3 2\\ ' }).parameters).toBe('3 2\\ ')
  expect(generic({ ...segment, parameters: ['a b', 7, 'c\\d'] }).parameters).toBe('a\\ b 7 c\\\\d')
  for (const wrong of [{ type: '' }, { parameters: 'a\0' }, { parameters: 7 }, { lengthSectors: 0 }, { extra: 1 }]) {
    const table = { ...segment, parameters: '', ...wrong } as never
    expect(thrown(() => generic(table)).code).toBe('DM_INVALID_ARGUMENT')
  }
})

describe('a target of the user’s own', () => {
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

  test('is called, refuses what it does not know, and reads', () => {
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

  test('is found beside those of the library, and before them', () => {
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

test('the line of another target is refused, and what is no line', () => {
  const line = { lengthSectors: 8, type: 'striped', parameters: '7:0 0' }
  expect(thrown(() => linear.parseTable(line)).message).toBe('this is the line of a target "striped", not of linear')
  for (const wrong of [undefined, null, 7, {}, { type: 'linear' }, { type: 'linear', parameters: 7 }]) {
    for (const read of [linear.parseTable, linear.parseStatus, parseTableLine, parseStatusLine]) {
      expect(thrown(() => read(wrong as never)).code).toBe('DM_INVALID_ARGUMENT')
    }
  }
})

test('names of objects are no targets', () => {
  const line = { lengthSectors: 8, type: 'constructor', parameters: '' }
  expect(parseTableLine(line)).toMatchObject({ kind: 'generic' })
  expect(knownTargets).toHaveLength(20)
})

test('keys are found whatever blanks part the words, so that no error tells them', () => {
  const line = (type: string, parameters: string) => ({ lengthSectors: 8, type, parameters })
  expect(secretsOf(line('crypt', '  aes-xts-plain64 \t00ff 0  7:0 0'))).toEqual(['00ff'])
  expect(secretsOf(line('crypt', 'aes-xts-plain64 :32:logon:key 0 7:0 0'))).toEqual([])
  expect(secretsOf(line('integrity', '7:0 0 - J 1\tinternal_hash:hmac(sha256):0a'))).toEqual(['0a'])
})

test('a key is not told by the error that refuses it', () => {
  const key = 'correct horse battery staple'
  const table = { lengthSectors: 8, cipher: 'aes-xts-plain64', key, device: '7:0' }
  expect(thrown(() => crypt(table)).message).not.toContain('horse')
})
