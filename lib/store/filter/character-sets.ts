// Sets of characters of RE2: its named classes, and case folding. Pure.

/** A set of characters, by code point. */
export type CharacterSet = (character: number) => boolean

/** The flags `(?i)`, `(?m)`, `(?s)`. */
export interface Flags {
  readonly i: boolean
  readonly m: boolean
  readonly s: boolean
}

export const between =
  (low: number, high: number): CharacterSet =>
  character =>
    character >= low && character <= high
const oneOf =
  (text: string): CharacterSet =>
  character =>
    text.includes(String.fromCodePoint(character))
export const either =
  (...sets: readonly CharacterSet[]): CharacterSet =>
  character =>
    sets.some(has => has(character))
export const not =
  (has: CharacterSet): CharacterSet =>
  character =>
    !has(character)

const digit = between(48, 57)
const upper = between(65, 90)
const lower = between(97, 122)
const alpha = either(upper, lower)
export const isWord: CharacterSet = either(alpha, digit, oneOf('_'))

export const PERL: Readonly<Record<string, CharacterSet>> = { d: digit, s: oneOf('\t\n\f\r '), w: isWord }

export const POSIX: Readonly<Record<string, CharacterSet>> = {
  alnum: either(alpha, digit),
  alpha,
  ascii: between(0, 127),
  blank: oneOf('\t '),
  cntrl: either(between(0, 31), between(127, 127)),
  digit,
  graph: between(33, 126),
  lower,
  print: between(32, 126),
  punct: either(between(33, 47), between(58, 64), between(91, 96), between(123, 126)),
  space: oneOf('\t\n\v\f\r '),
  upper,
  word: isWord,
  xdigit: either(digit, between(65, 70), between(97, 102)),
}

export const CONTROLS: Readonly<Record<string, number>> = { a: 7, f: 12, t: 9, n: 10, r: 13, v: 11 }

/**
 * Adds the other case of each character if `i` is set. Like RE2, folds one character to one character, and folds a set before
 * it is negated.
 */
export function folded(has: CharacterSet, { i }: Flags): CharacterSet {
  if (!i) return has
  return character => {
    if (has(character)) return true
    const text = String.fromCodePoint(character)
    const others = [text.toLowerCase(), text.toUpperCase(), text.toUpperCase().toLowerCase()]
    return others.some(other => [...other].length === 1 && has(other.codePointAt(0)!))
  }
}
