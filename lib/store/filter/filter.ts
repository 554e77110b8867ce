// containerd's filter language, for what a caller wants of a list of layers: `kind==active`, `labels.owner`,
// `name~=/^sha256:/,labels."a b"!=c`. Read here as containerd reads it, to the blank. Pure.
import { DmThinError } from '../../base/errors.js'
import { compilePattern } from './pattern-program.js'
import { parsePattern, PatternFault } from './pattern.js'
import type { LayerInfo } from '../common/types.js'

export type LayerFilter = (info: LayerInfo) => boolean

/** Characters of a regular expression. */
export const MAX_PATTERN = 1000
/** Characters of a filter: far beyond what containerd sends. */
export const MAX_FILTER = 64 * 1024

/**
 * Layers that one of the filters lets through; all of them where there is no filter.
 *
 * @throws DmThinError `DM_FILTER`
 */
export function parseFilters(texts: readonly string[]): LayerFilter {
  const filters = texts.map(parseFilter)
  return info => filters.length === 0 || filters.some(passes => passes(info))
}

/**
 * One filter: selectors with commas between, all of which must hold. A selector is a field (`name`, `parent`, `kind`,
 * `labels.KEY`, `labels."any key"`) alone, which asks whether it is there, or followed by `==`, `!=` or `~=` and a
 * value, plain or in double quotes with Go's escapes; a regular expression also in slashes or bars. An empty filter lets
 * everything through.
 *
 * Regular expressions are RE2's, unanchored, of up to 1000 characters. One that is wrong is refused here, where
 * containerd lets it match nothing; so are escapes that give no UTF-8.
 *
 * @throws DmThinError `DM_FILTER`, with the position in `detail`
 */
export function parseFilter(text: string): LayerFilter {
  if (text.length > MAX_FILTER) throw refused(text.slice(0, 60), 0, `it is longer than ${MAX_FILTER} characters`)
  if (text === '') return () => true
  const selectors = new FilterReader(text).selectors()
  return info => selectors.every(holds => holds(info))
}

function refused(text: string, at: number, why: string): DmThinError {
  return new DmThinError('DM_FILTER', `filter ${JSON.stringify(text)}, at character ${at}: ${why}`, {
    detail: String(at),
  })
}

/** What containerd finds at a path of fields; undefined where there is nothing. */
function fieldOf(info: LayerInfo, [first, ...rest]: readonly string[]): string | undefined {
  switch (first) {
    case 'name':
      return info.key
    case 'parent':
      return info.parent
    case 'kind':
      return info.kind
    case 'labels':
      return Object.hasOwn(info.labels, rest.join('.')) ? info.labels[rest.join('.')] : undefined
    default:
      return undefined
  }
}

const ESCAPES: Readonly<Record<string, number>> = { a: 7, b: 8, f: 12, n: 10, r: 13, t: 9, v: 11, '\\': 92 }
const VALUE = /[^,\p{White_Space}\p{C}\p{Zl}\p{Zp}]/u
const REPLACEMENT = '\ufffd'

class FilterReader {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  selectors(): LayerFilter[] {
    const bad = /[\0\ufffd]|\p{Surrogate}/u.exec(this.#text)
    if (bad !== null) this.#fail('no character for a filter', bad.index)
    const found = [this.#selector()]
    while (this.#at < this.#text.length) {
      if (this.#peek() !== ',') this.#fail('a comma or the end should be here')
      this.#at += 1
      found.push(this.#selector())
    }
    return found
  }

  #fail(why: string, at = this.#at): never {
    throw refused(this.#text, at, why)
  }

  #peek(): string {
    const code = this.#text.codePointAt(this.#at)
    return code === undefined ? '' : String.fromCodePoint(code)
  }

  #match(pattern: RegExp): string | undefined {
    const sticky = new RegExp(pattern, 'uy')
    sticky.lastIndex = this.#at
    const found = sticky.exec(this.#text)?.[0]
    this.#at += found?.length ?? 0
    return found
  }

  #skipBlanks(): void {
    this.#match(/\p{White_Space}*/u)
  }

  #selector(): LayerFilter {
    const path = [this.#field()]
    while (this.#peek() === '.') {
      this.#at += 1
      path.push(this.#field())
    }
    // Blanks may stand before a token, but after a field alone they promise an operator.
    if (this.#peek() === ',' || this.#peek() === '') return info => fieldOf(info, path) !== undefined
    this.#skipBlanks()
    const start = this.#at
    const operator = this.#match(/[=!~]+/)
    switch (operator) {
      case '==': {
        const value = this.#value(false)
        return info => fieldOf(info, path) === value
      }
      case '!=': {
        const value = this.#value(false)
        return info => (fieldOf(info, path) ?? '') !== value
      }
      case '~=': {
        const matches = this.#pattern()
        return info => matches(fieldOf(info, path) ?? '')
      }
      default:
        this.#fail('==, != or ~= should be here', start)
    }
  }

  #field(): string {
    this.#skipBlanks()
    if (this.#peek() === '"') return this.#quoted()
    return this.#match(/[A-Za-z0-9_]+/) ?? this.#fail('the name of a field should be here')
  }

  #value(pattern: boolean): string {
    this.#skipBlanks()
    const first = this.#peek()
    if (first === '"' || (pattern && (first === '/' || first === '|'))) return this.#quoted()
    // Quotes, operators and separators are tokens of their own where a value would begin.
    if (first === '' || /["/|.,=!~]/.test(first) || !VALUE.test(first)) this.#fail('a value should be here')
    return this.#match(new RegExp(`${VALUE.source}+`))!
  }

  #pattern(): (text: string) => boolean {
    this.#skipBlanks()
    const start = this.#at
    const text = this.#value(true)
    if (text.length > MAX_PATTERN) this.#fail(`an expression of more than ${MAX_PATTERN} characters`, start)
    try {
      return compilePattern(parsePattern(text))
    } catch (fault) {
      if (!(fault instanceof PatternFault)) throw fault
      return this.#fail(`in the expression, at its character ${fault.at}: ${fault.message}`, start)
    }
  }

  /** From a quote to the same quote. Escapes can be of bytes, so it is put together from bytes. */
  #quoted(): string {
    const start = this.#at
    const quote = this.#peek()
    this.#at += 1
    const parts: Buffer[] = []
    for (let next = this.#peek(); next !== quote; next = this.#peek()) {
      if (next === '' || next === '\n') this.#fail('a quote that does not end', start)
      if (next === '\\') parts.push(this.#escape(quote))
      else {
        this.#at += next.length
        parts.push(Buffer.from(next))
      }
    }
    this.#at += 1
    const bytes = Buffer.concat(parts)
    const text = bytes.toString()
    if (!Buffer.from(text).equals(bytes)) this.#fail('the escapes give no UTF-8', start)
    return text
  }

  #escape(quote: string): Buffer {
    const start = this.#at
    this.#at += 1
    const next = this.#peek()
    if (next === quote || Object.hasOwn(ESCAPES, next)) {
      this.#at += 1
      return Buffer.of(next === quote ? quote.charCodeAt(0) : ESCAPES[next]!)
    }
    const byte = this.#match(/x[0-9A-Fa-f]{2}/)?.slice(1)
    if (byte !== undefined) return Buffer.of(Number.parseInt(byte, 16))
    const octal = this.#match(/[0-3][0-7]{2}/)
    if (octal !== undefined) return Buffer.of(Number.parseInt(octal, 8))
    const code = this.#match(/u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}/)?.slice(1)
    const character = Number.parseInt(code ?? '', 16)
    if (!(character <= 0x10ffff)) this.#fail('an escape that Go does not have', start)
    // Half of a pair is no character; Go puts the same in its place.
    const half = character >= 0xd800 && character <= 0xdfff
    return Buffer.from(half ? REPLACEMENT : String.fromCodePoint(character))
  }
}
