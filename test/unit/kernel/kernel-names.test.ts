// Scenario                                                  Test
// L  mangling modes hex and none, mixed strings, \x5cx      mangled …; what was not written so …
import { mangleName, unmangleName } from '../../../lib/entry/kernel'
import { checkKernelName, checkKernelUuid } from '../../../lib/kernel/kernel-names'
import { thrown } from '../../helpers/errors/thrown'

test.each([
  ['vg-lv_1.x:y=@+#', 'vg-lv_1.x:y=@+#'],
  ['a b', 'a\\x20b'],
  ['a/b', 'a\\x2fb'],
  ['back\\slash', 'back\\x5cslash'],
  ['ü', '\\xc3\\xbc'],
  ['a\x7f', 'a\\x7f'],
  ['', ''],
])('%j is written %j, and read back', (name, mangled) => {
  expect(mangleName(name)).toBe(mangled)
  expect(unmangleName(mangled)).toBe(name)
})

test.each([
  'a b',
  'ü',
  'a\\x20 b',
  '\\x5cx20',
  '\\',
  '\\xZZ',
  '\\x2',
  '\\X20',
  'a\0b',
  '\\xff',
  'a\\xc3',
  '\\x00',
  '\\xed\\xa0\\x80',
])('what was not written so is refused: %j', text => {
  expect(thrown(() => unmangleName(text))).toMatchObject({ code: 'DM_INVALID_ARGUMENT' })
})

test('half a character is no name: nothing that the kernel gives back would be it', () => {
  for (const check of [mangleName, checkKernelName, checkKernelUuid]) {
    expect(thrown(() => check('a\ud800'))).toMatchObject({ code: 'DM_INVALID_ARGUMENT' })
  }
})

test('the kernel’s own rules for names and uuids', () => {
  for (const name of ['a', 'a b', 'ü'.repeat(63), 'x'.repeat(127), '...']) expect(checkKernelName(name)).toBe(name)
  for (const name of ['', '.', '..', 'control', 'a/b', 'a\0', 'x'.repeat(128), 'ü'.repeat(64), 7, undefined]) {
    expect(thrown(() => checkKernelName(name))).toMatchObject({ code: 'DM_INVALID_ARGUMENT' })
  }
  expect(checkKernelUuid('u/'.repeat(64))).toHaveLength(128)
  expect(thrown(() => checkKernelUuid('u'.repeat(129)))).toMatchObject({ code: 'DM_INVALID_ARGUMENT' })
})
