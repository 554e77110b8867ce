// The filter language of containerd, which selects layers: `kind==active`, `labels.owner`,
// `name~=/^sha256:/,labels."a b"!=c`. The parser accepts the same syntax as that of containerd, including blanks.
import type * as re2js from 're2js'
import { DmThinError } from '../../base/errors.js'
import { requiredDependency } from '../../base/optional-dependency.js'
import type { LayerInfo } from '../common/layer-types.js'

/** A function that selects layers. */
export type LayerFilter = (info: LayerInfo) => boolean

/** The limit for the length of a regular expression, in characters. */
export const MAX_PATTERN = 1000
/** The limit for the length of a filter, in characters. It is far beyond the filters that containerd sends. */
export const MAX_FILTER = 64 * 1024

/**
 * Parses filters. Returns a function that selects the layers that match at least one filter, or all layers if there is no
 * filter.
 *
 * @throws DmThinError `DM_FILTER`, and `DM_DEPENDENCY` if a filter has `~=` and the package re2js is not installed
 */
export function parseFilters(texts: readonly string[]): LayerFilter {
  const filters = texts.map(parseFilter)
  return info => filters.length === 0 || filters.some(passes => passes(info))
}

/**
 * Parses one filter: selectors, separated by commas, all of which must match. A selector is a field (`name`, `parent`,
 * `kind`, `labels.KEY`, `labels."any key"`). Alone, it matches if the field exists. Otherwise it is followed by `==`, `!=`
 * or `~=` and a value, plain or in double quotes with Go's escapes; a regular expression can also be in slashes or bars. An
 * empty filter matches all layers.
 *
 * Regular expressions have the syntax of RE2, are unanchored, and have at most 1000 characters. They need the package re2js.
 * An invalid regular expression is rejected, whereas containerd accepts it and it matches nothing. Escapes that do not
 * result in UTF-8 are rejected too.
 *
 * @throws DmThinError `DM_FILTER`, with the position in `detail`, and `DM_DEPENDENCY` if the filter has `~=` and the package
 * re2js is not installed
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

/** Returns the value of a path of fields, as in containerd, or undefined if it does not exist. */
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

/**
 * Loads re2js, the engine of regular expressions. Those of JavaScript have another syntax (look-around and back-references, no
 * `\z`, no `[:alpha:]`), and some take exponential time. It is loaded by `require`, because parseFilter() is synchronous.
 */
const loadRe2 = () =>
  // eslint-disable-next-line @typescript-eslint/no-require-imports
  requiredDependency('re2js', '^2.10', () => require('re2js') as typeof re2js)

class FilterReader {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  selectors(): LayerFilter[] {
    const bad = /[\0\ufffd]|\p{Surrogate}/u.exec(this.#text)
    if (bad !== null) this.#fail('an invalid character', bad.index)
    const found = [this.#selector()]
    while (this.#at < this.#text.length) {
      if (this.#peek() !== ',') this.#fail('a comma or the end is expected here')
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
    // Blanks are allowed before a token, but blanks after a field require an operator.
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
        this.#fail('==, != or ~= is expected here', start)
    }
  }

  #field(): string {
    this.#skipBlanks()
    if (this.#peek() === '"') return this.#quoted()
    return this.#match(/[A-Za-z0-9_]+/) ?? this.#fail('the name of a field is expected here')
  }

  #value(pattern: boolean): string {
    this.#skipBlanks()
    const first = this.#peek()
    if (first === '"' || (pattern && (first === '/' || first === '|'))) return this.#quoted()
    // Quotes, operators and separators are separate tokens at the start of a value.
    if (first === '' || /["/|.,=!~]/.test(first) || !VALUE.test(first)) this.#fail('a value is expected here')
    return this.#match(new RegExp(`${VALUE.source}+`))!
  }

  #pattern(): (text: string) => boolean {
    this.#skipBlanks()
    const start = this.#at
    const text = this.#value(true)
    if (text.length > MAX_PATTERN) this.#fail(`an expression of more than ${MAX_PATTERN} characters`, start)
    const { RE2JS, RE2JSException } = loadRe2()
    try {
      const expression = RE2JS.compile(text)
      return value => expression.test(value)
    } catch (fault) {
      if (!(fault instanceof RE2JSException)) throw fault
      return this.#fail(fault.message, start)
    }
  }

  /** Reads a quoted value. It is combined from bytes, because escapes can be single bytes. */
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
    if (!Buffer.from(text).equals(bytes)) this.#fail('the escapes do not result in UTF-8', start)
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
    // An unpaired surrogate is replaced, as in Go.
    const half = character >= 0xd800 && character <= 0xdfff
    return Buffer.from(half ? REPLACEMENT : String.fromCodePoint(character))
  }
}
