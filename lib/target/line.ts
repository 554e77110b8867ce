// Reader of a target's line, word by word: tolerant of additional words at the end, exact before them.
import { DmThinError } from '../base/errors.js'
import { SECTOR_BYTES } from '../base/units.js'

/** A reader of a kernel line, word by word. Each call that takes a word names the field, which errors contain. */
export class LineReader {
  readonly #what: string
  readonly #line: string
  readonly #words: string[]
  #at = 0

  constructor(what: string, line: string) {
    this.#what = what
    this.#line = line
    this.#words = line.split(' ').filter(word => word !== '')
  }

  /** The number of words taken. */
  get at(): number {
    return this.#at
  }

  /** Takes the next word. Throws `DM_KERNEL` at the end of the line. */
  word(field: string): string {
    const word = this.#words[this.#at]
    this.#at += 1
    if (word === undefined) throw this.unexpected(field, 'the end of the line')
    return word
  }

  /** Returns the next word without taking it; undefined at the end of the line. */
  optional(): string | undefined {
    return this.#words[this.#at]
  }

  /** Takes the next word as an integer from 0 to 2^53-1. */
  number(field: string): number {
    return this.asNumber(field, this.word(field))
  }

  /** Converts a word that was taken to an integer from 0 to 2^53-1. */
  asNumber(field: string, word: string): number {
    const value = Number(word)
    if (!/^\d+$/.test(word) || !Number.isSafeInteger(value)) throw this.unexpected(field, JSON.stringify(word))
    return value
  }

  /** Takes the next word as a non-negative integer of any size. */
  bigint(field: string): bigint {
    const word = this.word(field)
    if (!/^\d+$/.test(word)) throw this.unexpected(field, JSON.stringify(word))
    return BigInt(word)
  }

  /** Takes the next word as an integer, with or without a sign. */
  integer(field: string): number {
    const word = this.word(field)
    return word.startsWith('-') ? 0 - this.asNumber(field, word.slice(1)) : this.asNumber(field, word)
  }

  /** Takes a number of sectors and returns bytes. Rejects results past 2^53, which would be rounded. */
  sectorBytes(field: string): number {
    const word = this.word(field)
    const bytes = this.asNumber(field, word) * SECTOR_BYTES
    if (!Number.isSafeInteger(bytes)) throw this.unexpected(field, JSON.stringify(word))
    return bytes
  }

  /** Takes a word `used/total`. */
  fraction(field: string): [number, number] {
    return fraction(this, field)
  }

  /** Takes a word of `count` letters: the state of each of several devices. */
  letters<Letter extends string>(field: string, alphabet: readonly Letter[], count: number): Letter[] {
    const word = this.word(field)
    const letters = [...word]
    const odd = letters.length !== count || letters.some(letter => !(alphabet as readonly string[]).includes(letter))
    if (odd) throw this.unexpected(field, JSON.stringify(word))
    return letters as Letter[]
  }

  /** Takes the next word, which must be one of these. */
  oneOf<Word extends string>(field: string, words: readonly Word[]): Word {
    const word = this.word(field)
    if (!(words as readonly string[]).includes(word)) throw this.unexpected(field, JSON.stringify(word))
    return word as Word
  }

  /** Takes the next word, which must be one of these, if the line has one. */
  optionalOneOf<Word extends string>(field: string, words: readonly Word[]): Word | undefined {
    return this.optional() === undefined ? undefined : this.oneOf(field, words)
  }

  /** Returns the remaining words without taking them. */
  rest(): readonly string[] {
    return this.#words.slice(this.#at)
  }

  /** Returns the error for the word that was taken last. */
  unexpected(field: string, found: string): DmThinError {
    const where = `word ${this.#at} (${field})`
    return new DmThinError('DM_KERNEL', `${this.#what}: ${where} is ${found} in ${JSON.stringify(this.#line)}`)
  }
}

/** Takes a word `used/total`. */
export function fraction(reader: LineReader, field: string): [number, number] {
  const parts = reader.word(field).split('/')
  return [reader.asNumber(field, parts[0] ?? ''), reader.asNumber(field, parts[1] ?? '')]
}
