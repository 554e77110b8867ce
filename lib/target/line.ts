// Reading a target's line word by word: tolerant at the tail, exact before it.
import { DmThinError } from '../errors.js'

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

  word(field: string): string {
    const word = this.#words[this.#at]
    this.#at += 1
    if (word === undefined) throw this.#unexpected(field, 'the end of the line')
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
    if (!/^\d+$/.test(word) || !Number.isSafeInteger(value)) throw this.#unexpected(field, JSON.stringify(word))
    return value
  }

  bigint(field: string): bigint {
    const word = this.word(field)
    if (!/^\d+$/.test(word)) throw this.#unexpected(field, JSON.stringify(word))
    return BigInt(word)
  }

  oneOf<Word extends string>(field: string, words: readonly Word[]): Word {
    const word = this.word(field)
    if (!(words as readonly string[]).includes(word)) throw this.#unexpected(field, JSON.stringify(word))
    return word as Word
  }

  optionalOneOf<Word extends string>(field: string, words: readonly Word[]): Word | undefined {
    return this.optional() === undefined ? undefined : this.oneOf(field, words)
  }

  #unexpected(field: string, found: string): DmThinError {
    const where = `word ${this.#at} (${field})`
    return new DmThinError('DM_KERNEL', `${this.#what}: ${where} is ${found} in ${JSON.stringify(this.#line)}`)
  }
}

/** `used/total`. */
export function fraction(reader: LineReader, field: string): [number, number] {
  const parts = reader.word(field).split('/')
  return [reader.asNumber(field, parts[0] ?? ''), reader.asNumber(field, parts[1] ?? '')]
}
