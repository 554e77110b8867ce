// Properties of parsers: true of every input. The inputs are the same in every run. With DM_THIN_PROPERTY_TIMES=N there
// are N times as many, from a seed of their own; a failure prints it, and DM_THIN_PROPERTY_SEED repeats it.
import { inspect, isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { DmThinError } from '../../../lib/base/errors'

const SEED = 20
const times = Number(process.env['DM_THIN_PROPERTY_TIMES'] ?? 1)
const seed = Number(process.env['DM_THIN_PROPERTY_SEED'] ?? (times === 1 ? SEED : Date.now() % 2 ** 31))
let looked = 0

/** `check` throws, or answers false, for an input of which the property is not true. */
export function everywhere<T>(runs: number, input: fc.Arbitrary<T>, check: (input: T) => unknown): void {
  looked += runs * times
  fc.assert(
    fc.property(input, value => check(value) !== false),
    { numRuns: runs * times, seed },
  )
}

export async function everywhereLater<T>(
  runs: number,
  input: fc.Arbitrary<T>,
  check: (input: T) => Promise<unknown>,
): Promise<void> {
  looked += runs * times
  await fc.assert(
    fc.asyncProperty(input, async value => (await check(value)) !== false),
    { numRuns: runs * times, seed },
  )
}

/** `expect(found).toStrictEqual(wanted)`, at a tenth of the time where it is so. */
export function same(found: unknown, wanted: unknown): void {
  if (isDeepStrictEqual(found, wanted)) return
  expect(found).toStrictEqual(wanted)
  throw new Error('they are not the same')
}

export function holds(condition: boolean, found: unknown): void {
  if (!condition) throw new Error(`this does not hold of ${inspect(found)}`)
}

/** What a parser makes of an input: a value, or an error of this library. Anything else that it throws goes on. */
export function outcome(read: () => unknown): unknown {
  try {
    const value = read()
    checkPlain(value)
    return value
  } catch (fault) {
    if (!(fault instanceof DmThinError)) throw fault
    return fault
  }
}

/** A value that a caller can go on with: whole numbers, text, and objects that are only what they show. */
export function checkPlain(value: unknown): void {
  if (typeof value === 'number' && (!Number.isSafeInteger(value) || Object.is(value, -0)))
    throw new Error(`the number ${value}`)
  if (typeof value === 'function' || typeof value === 'symbol') throw new Error(`a ${typeof value}`)
  if (typeof value !== 'object' || value === null) return
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== Array.prototype) throw new Error('an object with a prototype')
  for (const each of Object.values(value)) checkPlain(each)
}

const names = [Object.prototype, Array.prototype, Map.prototype].map(prototype => Reflect.ownKeys(prototype).length)

afterAll(() => {
  // Whatever was read has left what all objects have in common as it was.
  const now = [Object.prototype, Array.prototype, Map.prototype].map(prototype => Reflect.ownKeys(prototype).length)
  expect(now).toEqual(names)
  if (times > 1) process.stderr.write(`${looked} inputs, seed ${seed}\n`)
})

const BLANKS = [' ', '  ', '\t', '\n']
const ODD_WORDS = ['', '-', '/', '0x1', '1e3', '99999999999999999', '9007199254740992', ':', '\\', '\0', '-0', '-1']
const NAMES_OF_OBJECTS = ['__proto__', 'constructor', 'hasOwnProperty', 'toString']

/** Any text: of any bytes, of any characters, and of characters that there are not. */
export const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 24 }),
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 10 }).map(units => String.fromCharCode(...units)),
)

/** A line of words: those of `lines` in any order, cut, doubled, and with others between. */
export function anyLine(lines: readonly string[]): fc.Arbitrary<string> {
  const words = [...new Set(lines.flatMap(line => line.split(' ')))]
  const word = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...words) },
    { weight: 2, arbitrary: fc.nat(300).map(String) },
    { weight: 1, arbitrary: fc.constantFrom(...ODD_WORDS, ...NAMES_OF_OBJECTS) },
    { weight: 1, arbitrary: anyText },
  )
  const change = fc.record({ at: fc.nat(20), drop: fc.nat(2), words: fc.array(word, { maxLength: 2 }) })
  const changed = fc
    .tuple(fc.constantFrom(...lines), fc.array(change, { maxLength: 3 }), fc.option(fc.nat(20)))
    .map(([line, changes, end]) => {
      const list = line.split(' ')
      for (const { at, drop, words } of changes) list.splice(at % (list.length + 1), drop, ...words)
      return (end === null ? list : list.slice(0, end)).join(' ')
    })
  const made = fc
    .tuple(fc.array(word, { maxLength: 12 }), fc.constantFrom(...BLANKS))
    .map(([list, blank]) => list.join(blank))
  return fc.oneof({ weight: 5, arbitrary: changed }, { weight: 3, arbitrary: made }, { weight: 1, arbitrary: anyText })
}
