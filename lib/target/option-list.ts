// The optional arguments of a target: words, or words followed by values, in any order. A target lists its options
// once, which defines their writer and their parser.
import { checkBoolean, type Range } from '../base/options.js'
import type { LineReader } from './line.js'
import { choiceWord, deviceWord, listOf, numberWord, textWord, type Word } from './words.js'

/** One optional argument. */
interface Option<Value> {
  matches(word: string): boolean
  write(name: string, value: Value): readonly Word[]
  /** Parses the option after `word` was taken. `earlier`: its previous value, if the word occurs twice. */
  read(reader: LineReader, word: string, earlier: Value | undefined): Value
}

/** Defines a flag: `allow_discards`. */
export const flag = (word: string): Option<boolean> => ({
  matches: found => found === word,
  write: (name, value) => (checkBoolean(name, value) ? [word] : []),
  read: () => true,
})

/** Defines a choice between words that exclude each other: `sync`, `nosync`. */
export const choice = <Choice extends string>(choices: readonly Choice[]): Option<Choice> => ({
  matches: found => (choices as readonly string[]).includes(found),
  write: (name, value) => [choiceWord(name, value, choices)],
  read: (_, word) => word as Choice,
})

/** Defines a word followed by a number: `fec_roots 2`. */
export const numberAfter = (word: string, range: Range = { min: 0 }): Option<number> => ({
  matches: found => found === word,
  write: (name, value) => [word, numberWord(name, value, range)],
  read: reader => (range.min < 0 ? reader.integer(word) : reader.number(word)),
})

/** Defines a word followed by a device: `use_fec_from_device 7:0`. */
export const deviceAfter = (word: string): Option<string> => ({
  matches: found => found === word,
  write: (name, value) => [word, deviceWord(name, value)],
  read: reader => reader.word(word),
})

export const textAfter = (word: string): Option<string> => ({
  matches: found => found === word,
  write: (name, value) => [word, textWord(name, value)],
  read: reader => reader.word(word),
})

export const choiceAfter = <Choice extends string>(word: string, choices: readonly Choice[]): Option<Choice> => ({
  matches: found => found === word,
  write: (name, value) => [word, choiceWord(name, value, choices)],
  read: reader => reader.oneOf(word, choices),
})

/** Defines a word followed by a number that may be repeated: `rebuild 0 rebuild 2`. */
export const numbersAfter = (word: string): Option<readonly number[]> => ({
  matches: found => found === word,
  write: (name, value) => listOf(name, value, 0).flatMap(each => [word, numberWord(name, each)]),
  read: (reader, _, earlier = []) => [...earlier, reader.number(word)],
})

/** Defines a word that contains a number: `sector_size:4096`. */
export const numberWithin = (word: string, range: Range = { min: 0 }): Option<number> => ({
  matches: found => found.startsWith(`${word}:`),
  write: (name, value) => [`${word}:${numberWord(name, value, range)}`],
  read: (reader, found) => reader.asNumber(word, found.slice(word.length + 1)),
})

/** Defines a word that contains a text: `internal_hash:crc32c`. */
export const textWithin = (word: string): Option<string> => ({
  matches: found => found.startsWith(`${word}:`),
  write: (name, value) => [`${word}:${textWord(name, value)}`],
  read: (_, found) => found.slice(word.length + 1),
})

/** A list of options, in the order in which the kernel prints them. */
export class OptionList<Options extends object> {
  readonly #options: ReadonlyMap<string, Option<unknown>>
  readonly names: readonly (keyof Options & string)[]

  constructor(options: { readonly [Name in keyof Options]-?: Option<NonNullable<Options[Name]>> }) {
    this.names = Object.keys(options) as (keyof Options & string)[]
    this.#options = new Map(Object.entries(options))
  }

  /** Returns the words of the given options. */
  words(table: Options): readonly Word[] {
    return this.names.flatMap(name => {
      const value = table[name]
      return value === undefined ? [] : this.#options.get(name)!.write(name, value)
    })
  }

  /** Returns the number of words, followed by the words; with `omitNone` nothing if there are none. */
  counted(table: Options, { omitNone = false } = {}): readonly Word[] {
    const words = this.words(table)
    return words.length === 0 && omitNone ? [] : [words.length, ...words]
  }

  /** Parses `count` words. Throws for an unknown word, because the next word might be its value. */
  read(reader: LineReader, count: number): Options {
    const found: Record<string, unknown> = {}
    const end = reader.at + count
    while (reader.at < end) {
      const word = reader.word('option')
      const entry = [...this.#options].find(([, option]) => option.matches(word))
      if (!entry) throw reader.unexpected('option', JSON.stringify(word))
      const [name, option] = entry
      found[name] = option.read(reader, word, found[name])
    }
    return found as Options
  }

  /** Parses the known words of a list without values. Skips other words. */
  readKnown(reader: LineReader): Options {
    const found: Record<string, unknown> = {}
    for (let left = this.#count(reader); left > 0; left -= 1) {
      const word = reader.word('option')
      const entry = [...this.#options].find(([, option]) => option.matches(word))
      if (entry) found[entry[0]] = entry[1].read(reader, word, undefined)
    }
    return found as Options
  }

  /** Parses the number of words, followed by these words; a line that ends before the number has none. */
  readCounted(reader: LineReader): Options {
    return this.read(reader, this.#count(reader))
  }

  #count(reader: LineReader): number {
    return reader.optional() === undefined ? 0 : reader.number('number of options')
  }
}
