// Regular expressions of filters, in RE2's syntax.
import { parseFilter } from '../../../../lib/store/filter/filter.js'
import { thrown } from '../../../helpers/errors/thrown.js'
import { layer, quoted } from '../../../helpers/store/filters.js'

const filterOf = (pattern: string) => parseFilter(`name~=${quoted(pattern)}`)
const found = (pattern: string, text: string): boolean => filterOf(pattern)(layer(text))

/** The pattern, texts that hold it, texts that do not. */
test.each<[string, string[], string[]]>([
  ['', ['', 'a'], []],
  ['b', ['b', 'abc'], ['', 'a']],
  ['^ab$', ['ab'], ['xab', 'abx', 'ab\n']],
  ['\\Aab\\z', ['ab'], ['xab', 'ab\n']],
  ['(?m)^b$', ['a\nb\nc'], ['ab']],
  ['a.c', ['abc', 'a\rc', 'a\u2028c', 'a😀c'], ['a\nc', 'ac']],
  ['(?s)a.c', ['a\nc'], []],
  ['(?i)straSSe', ['STRASSE', 'strasse'], ['straße']],
  ['(?i:a)b', ['Ab', 'ab'], ['aB', 'AB']],
  ['a(?i)b|c', ['aB', 'C'], ['AB']],
  ['(?i)a(?-i)b', ['Ab'], ['AB']],
  ['(?i)^[^k]$', ['x'], ['k', 'K']],
  ['(?i)^\\PL[[:^upper:]]$', ['1-'], ['1a', 'a-']],
  ['^a|b$', ['ax', 'xb'], ['xa', 'bx']],
  ['^(|a)$', ['', 'a'], ['b']],
  ['^a*$', ['', 'aaa'], ['ab']],
  ['^a+?$', ['a', 'aaa'], ['']],
  ['^a??b$', ['b', 'ab'], ['aab']],
  ['^a{2}$', ['aa'], ['a', 'aaa']],
  ['^a{2,}$', ['aa', 'aaaa'], ['a']],
  ['^a{1,3}$', ['a', 'aaa'], ['', 'aaaa']],
  ['^(ab){0}$', [''], ['ab']],
  ['^(a*)*$', ['', 'aa'], ['b']],
  ['^(^a|b*)+$', ['', 'abb'], ['c']],
  ['^a{,2}$', ['a{,2}'], ['a', 'aa']],
  ['^{$', ['{'], ['']],
  ['^a{x}$', ['a{x}'], ['a']],
  ['^(?:a|b)(?P<n>c)(?<m>d)$', ['acd', 'bcd'], ['ab']],
  ['^[a-c]$', ['a', 'b', 'c'], ['d', '-']],
  ['^[^a-c]$', ['d', '\n'], ['a']],
  ['^[]a]$', [']', 'a'], ['b']],
  ['^[^]a]$', ['b'], [']']],
  ['^[a-]$', ['a', '-'], ['b']],
  ['^[-a]$', ['a', '-'], ['b']],
  ['^[\\d-z]$', ['5', '-', 'z'], ['a']],
  ['^[[:alpha:]_]$', ['a', 'Z', '_'], ['1']],
  ['^[[:^digit:]]$', ['a'], ['1']],
  ['^[\\]\\\\]$', [']', '\\'], ['a']],
  ['^\\d\\D\\s\\S\\w\\W$', ['1a bc-'], ['a1 bc-', '1a\u00a0bc-']],
  ['^\\s$', ['\t', '\f'], ['\v', '\u00a0']],
  ['\\bab\\b', ['x ab y'], ['xab', 'aby']],
  ['a\\Bb', ['ab'], []],
  ['^\\pL\\p{Lu}\\p{Greek}\\PL$', ['aAα1'], ['aaα1', 'aAa1']],
  ['^\\p{^Lu}$', ['a'], ['A']],
  ['^\\x41\\x{1F600}\\101\\n\\.$', ['A😀A\n.'], []],
  ['^\\Qa.b\\E*$', ['a.', 'a.bb'], ['axb']],
  ['^\\Q(', ['('], []],
  ['^sha256:[0-9a-f]{4}$', ['sha256:0af9'], ['sha256:0aF9']],
])('the pattern %s matches the expected texts, and no others', (pattern, holding, others) => {
  expect(holding.filter(text => !found(pattern, text))).toEqual([])
  expect(others.filter(text => found(pattern, text))).toEqual([])
})

test.each([
  '*',
  'a|*',
  '(?i)+',
  'a**',
  'a{2}{3}',
  'a{2,1}',
  'a{1001}',
  'a{1,1001}',
  '(a',
  'a)',
  'a[b',
  '[]',
  '[z-a]',
  '[[:none:]]',
  '\\',
  '\\1',
  '\\C',
  'a\\y',
  '\\x{110000}',
  '\\p{Nowhere}',
  '\\p',
  '(?=a)',
  '(?<!a)',
  '(?i-)',
  '😀(',
])('the pattern %s is rejected with DM_FILTER', pattern => {
  expect(thrown(() => filterOf(pattern))).toMatchObject({ code: 'DM_FILTER', detail: '6' })
})

test('a pattern that becomes too large is rejected, and a match needs no exponential time', () => {
  for (const pattern of ['((a{1000}){1000}){1000}', '((a{0}){1000}){1000}', '(((){1000}){1000}){1000}'])
    expect(thrown(() => filterOf(pattern))).toMatchObject({ code: 'DM_FILTER' })
  expect(found('^(a+)+$', `${'a'.repeat(4000)}b`)).toBe(false)
  expect(found('^(a|a)*(a|aa)+$', `${'a'.repeat(4000)}b`)).toBe(false)
  expect(found('(x+x+)+y', 'x'.repeat(4000))).toBe(false)
})
