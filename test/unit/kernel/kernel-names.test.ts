// Scenario                                                  Test
// L  mangling modes hex and none, mixed strings, \x5cx      the name %j is mangled …; unmangleName rejects …
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
])('the name %j is mangled to %j, and unmangled again', (name, mangled) => {
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
])('unmangleName rejects %j, which mangleName never writes', text => {
  expect(thrown(() => unmangleName(text))).toMatchObject({ code: 'DM_INVALID_ARGUMENT' })
})

test('mangleName, checkKernelName and checkKernelUuid reject an unpaired surrogate', () => {
  for (const check of [mangleName, checkKernelName, checkKernelUuid]) {
    expect(thrown(() => check('a\ud800'))).toMatchObject({ code: 'DM_INVALID_ARGUMENT' })
  }
})

test('checkKernelName and checkKernelUuid apply the kernel’s rules', () => {
  for (const name of ['a', 'a b', 'ü'.repeat(63), 'x'.repeat(127), '...']) expect(checkKernelName(name)).toBe(name)
  for (const name of ['', '.', '..', 'control', 'a/b', 'a\0', 'x'.repeat(128), 'ü'.repeat(64), 7, undefined]) {
    expect(thrown(() => checkKernelName(name))).toMatchObject({ code: 'DM_INVALID_ARGUMENT' })
  }
  expect(checkKernelUuid('u/'.repeat(64))).toHaveLength(128)
  expect(thrown(() => checkKernelUuid('u'.repeat(129)))).toMatchObject({ code: 'DM_INVALID_ARGUMENT' })
})
