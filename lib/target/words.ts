// The words of a table line, from checked values, and their escaping for the kernel's parser.
import { checkOptions, checkPath, hasHalf, checkNumber, invalid, shown, type Range } from '../base/options.js'

/** One argument of a target. A text may have blanks and backslashes, which are escaped in the line. */
export type Word = string | number

/**
 * Escapes a word for the kernel's splitter (drivers/md/dm-table.c dm_split_args): a backslash makes the next character
 * an ordinary one. An empty word cannot be written.
 */
export function escapeWord(word: Word): string {
  if (typeof word === 'number' && Number.isSafeInteger(word)) return String(word)
  if (typeof word !== 'string' || word === '' || word.includes('\0') || hasHalf(word)) {
    throw invalid(
      `a word of a table must be a whole number, or a string without NUL characters and unpaired surrogates, but is ${shown(word)}`,
    )
  }
  // The kernel splits bytes, and treats 0xa0 as a blank (lib/ctype.c). In UTF-8 it is the last byte of `à` and others;
  // a backslash in the middle of a character would make it invalid.
  const odd = [...word].find(character => Buffer.from(character).includes(0xa0))
  if (odd !== undefined) throw invalid(`the word ${shown(word)} has ${shown(odd)}, in which the kernel sees a blank`)
  return word.replace(/[\\ \t-\r]/g, '\\$&')
}

/**
 * Returns a device: `7:0`, or any path. Prefer numbers: a path needs a node, and udev creates its links late or never.
 */
export const deviceWord = (name: string, value: unknown): string => checkPath(name, value)

/** Returns a device and an offset on it. */
export function pieceWords(
  name: string,
  piece: { readonly device: string; readonly offsetSectors?: number },
): [string, number] {
  checkOptions(piece, ['device', 'offsetSectors'], name)
  return [deviceWord(`${name}.device`, piece.device), offsetWord(`${name}.offsetSectors`, piece.offsetSectors)]
}

/** Returns an offset in sectors of 512 bytes, from 0. */
export const offsetWord = (name: string, value: unknown): number => checkNumber(name, value ?? 0, { min: 0 })

export const numberWord = (name: string, value: unknown, range: Range = { min: 0 }): number =>
  checkNumber(name, value, range)

export function choiceWord<Choice extends string>(name: string, value: unknown, choices: readonly Choice[]): Choice {
  const found = choices.find(choice => choice === value)
  if (found !== undefined) return found
  throw invalid(`${name} must be one of ${choices.join(', ')}, but is ${shown(value)}`)
}

/** Returns a text that the target itself parses: the name of a cipher, a digest … */
export function textWord(name: string, value: unknown, allowed: RegExp = /^[^\0]+$/): string {
  if (typeof value === 'string' && allowed.test(value)) return value
  throw invalid(`${name} must match ${String(allowed)}, but is ${shown(value)}`)
}

export const powerOfTwo = (name: string, value: unknown, range: Range): number => {
  const number = checkNumber(name, value, range)
  if (Number.isInteger(Math.log2(number))) return number
  throw invalid(`${name} must be a power of two, but is ${number}`)
}

const isArray = (value: unknown): boolean => Array.isArray(value)

export function listOf<Item>(name: string, value: readonly Item[], least = 1): readonly Item[] {
  if (isArray(value) && value.length >= least) return value
  throw invalid(`${name} must be an array of at least ${least}, but is ${shown(value)}`)
}
