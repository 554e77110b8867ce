// Reading a target's line word by word: tolerant at the tail, exact before it.
import { DmThinError } from '../base/errors.js'
import { SECTOR_BYTES } from '../base/units.js'

/** A line of the kernel's, word by word. Each call that takes a word names what it should be: errors say it. */
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

  /** How many words have been taken. */
  get at(): number {
    return this.#at
  }

  word(field: string): string {
    const word = this.#words[this.#at]
    this.#at += 1
    if (word === undefined) throw this.unexpected(field, 'the end of the line')
    return word
  }

  /** The next word without taking it; undefined at the end of the line. */
  optional(): string | undefined {
    return this.#words[this.#at]
  }

  number(field: string): number {
    return this.asNumber(field, this.word(field))
  }

  asNumber(field: string, word: string): number {
    const value = Number(word)
    if (!/^\d+$/.test(word) || !Number.isSafeInteger(value)) throw this.unexpected(field, JSON.stringify(word))
    return value
  }

  bigint(field: string): bigint {
    const word = this.word(field)
    if (!/^\d+$/.test(word)) throw this.unexpected(field, JSON.stringify(word))
    return BigInt(word)
  }

  /** With a sign, or without. */
  integer(field: string): number {
    const word = this.word(field)
    return word.startsWith('-') ? 0 - this.asNumber(field, word.slice(1)) : this.asNumber(field, word)
  }

  /** Sectors, in bytes: refused where those are past 2^53, and would be rounded. */
  sectorBytes(field: string): number {
    const word = this.word(field)
    const bytes = this.asNumber(field, word) * SECTOR_BYTES
    if (!Number.isSafeInteger(bytes)) throw this.unexpected(field, JSON.stringify(word))
    return bytes
  }

  /** `used/total` */
  fraction(field: string): [number, number] {
    return fraction(this, field)
  }

  /** One word of `count` letters: the state of each of several devices. */
  letters<Letter extends string>(field: string, alphabet: readonly Letter[], count: number): Letter[] {
    const word = this.word(field)
    const letters = [...word]
    const odd = letters.length !== count || letters.some(letter => !(alphabet as readonly string[]).includes(letter))
    if (odd) throw this.unexpected(field, JSON.stringify(word))
    return letters as Letter[]
  }

  oneOf<Word extends string>(field: string, words: readonly Word[]): Word {
    const word = this.word(field)
    if (!(words as readonly string[]).includes(word)) throw this.unexpected(field, JSON.stringify(word))
    return word as Word
  }

  optionalOneOf<Word extends string>(field: string, words: readonly Word[]): Word | undefined {
    return this.optional() === undefined ? undefined : this.oneOf(field, words)
  }

  /** The words that are left, without taking them. */
  rest(): readonly string[] {
    return this.#words.slice(this.#at)
  }

  /** The error for the word that was taken last. */
  unexpected(field: string, found: string): DmThinError {
    const where = `word ${this.#at} (${field})`
    return new DmThinError('DM_KERNEL', `${this.#what}: ${where} is ${found} in ${JSON.stringify(this.#line)}`)
  }
}

/** `used/total`. */
export function fraction(reader: LineReader, field: string): [number, number] {
  const parts = reader.word(field).split('/')
  return [reader.asNumber(field, parts[0] ?? ''), reader.asNumber(field, parts[1] ?? '')]
}
