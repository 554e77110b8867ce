// The parser of regular expressions in the syntax of RE2, which is that of Go and containerd. Expressions of JavaScript have
// another syntax (look-around and back-references, no `\z`, no `[:alpha:]`), and some take exponential time. These take time
// proportional to the text (pattern-program.ts). Pure.
import { between, CONTROLS, either, folded, not, PERL, POSIX, type CharacterSet, type Flags } from './character-sets.js'

export type Place = 'text-start' | 'text-end' | 'line-start' | 'line-end' | 'word-edge' | 'no-word-edge'

export type PatternNode =
  | { readonly kind: 'set'; readonly has: CharacterSet }
  | { readonly kind: 'place'; readonly place: Place }
  | { readonly kind: 'sequence' | 'either'; readonly of: readonly PatternNode[] }
  | { readonly kind: 'repeat'; readonly of: PatternNode; readonly least: number; readonly most: number }

/** The error of an invalid expression, with its position. */
export class PatternFault extends Error {
  readonly at: number
  constructor(at: number, message: string) {
    super(message)
    this.at = at
  }
}

const MAX_REPEATS = 1000
const NEWLINE = 10

/** Parses an expression. @throws PatternFault */
export function parsePattern(text: string): PatternNode {
  return new PatternReader(text).whole()
}

class PatternReader {
  readonly #characters: readonly string[]
  #at = 0

  constructor(text: string) {
    this.#characters = [...text]
  }

  whole(): PatternNode {
    const node = this.#alternatives({ i: false, m: false, s: false })
    if (this.#at < this.#characters.length) this.#fail('unexpected )')
    return node
  }

  #fail(message: string, at = this.#at): never {
    throw new PatternFault(this.#characters.slice(0, at).join('').length, message)
  }

  #peek(ahead = 0): string {
    return this.#characters[this.#at + ahead] ?? ''
  }

  #take(): string {
    const character = this.#peek()
    if (character === '') this.#fail('the expression ends too early')
    this.#at += 1
    return character
  }

  /** Returns whether `text` comes next, and skips it. */
  #took(text: string): boolean {
    const next = this.#characters.slice(this.#at, this.#at + text.length).join('')
    if (next !== text) return false
    this.#at += text.length
    return true
  }

  /** Parses up to the end or a closing bracket. `(?i)` inside applies to the rest. */
  #alternatives(given: Flags): PatternNode {
    let flags = given
    const branches: PatternNode[][] = [[]]
    for (let next = this.#peek(); next !== '' && next !== ')'; next = this.#peek()) {
      if (this.#took('|')) {
        branches.push([])
        continue
      }
      const set = this.#flagsAlone(flags)
      if (set !== undefined) flags = set
      else branches.at(-1)!.push(...this.#repeated(flags))
    }
    return { kind: 'either', of: branches.map(of => ({ kind: 'sequence', of })) }
  }

  /** Parses `(?flags)`, which is not a group. */
  #flagsAlone(flags: Flags): Flags | undefined {
    const rest = this.#characters.slice(this.#at, this.#at + 12).join('')
    const words = /^\(\?([imsU]*-?[imsU]*)\)/.exec(rest)?.[1]
    if (words === undefined || !/[imsU]$/.test(words)) return undefined
    this.#at += words.length + 3
    return changed(flags, words)
  }

  /** Parses one item with its repetition. Greediness is ignored, because it does not change whether the text matches. */
  #repeated(flags: Flags): PatternNode[] {
    const start = this.#at
    if (/[*+?]/.test(this.#peek())) this.#fail('nothing to repeat')
    const items = this.#item(flags)
    const counts = this.#counts()
    if (counts === undefined) return items
    this.#took('?')
    const again = this.#at
    if (/[*+?]/.test(this.#peek()) || this.#counts() !== undefined) this.#fail('repeated twice', again)
    const last = items.at(-1)
    if (last === undefined) this.#fail('nothing to repeat', start)
    return [...items.slice(0, -1), { kind: 'repeat', of: last, ...counts }]
  }

  /** Parses `*`, `+`, `?`, `{2}`, `{2,}`, `{2,3}`. Any other brace is an ordinary character. */
  #counts(): { least: number; most: number } | undefined {
    if (this.#took('*')) return { least: 0, most: Infinity }
    if (this.#took('+')) return { least: 1, most: Infinity }
    if (this.#took('?')) return { least: 0, most: 1 }
    if (this.#peek() !== '{') return undefined
    const rest = this.#characters.slice(this.#at, this.#at + 24).join('')
    const found = /^\{(\d{1,9})(,(\d{0,9}))?\}/.exec(rest)
    if (found === null) return undefined
    const least = Number(found[1])
    const most = found[2] === undefined ? least : found[3] === '' ? Infinity : Number(found[3])
    if (least > MAX_REPEATS || (most !== Infinity && most > MAX_REPEATS)) this.#fail('repeated too often')
    if (most < least) this.#fail('the maximum of a repetition is less than its minimum')
    this.#at += found[0].length
    return { least, most }
  }

  #item(flags: Flags): PatternNode[] {
    const start = this.#at
    const character = this.#take()
    const set = (has: CharacterSet): PatternNode[] => [{ kind: 'set', has }]
    const exactly = (code: number): PatternNode[] => set(folded(between(code, code), flags))
    const place = (where: Place): PatternNode[] => [{ kind: 'place', place: where }]
    switch (character) {
      case '(':
        return [this.#group(flags, start)]
      case '[':
        return set(this.#class(flags, start))
      case '.':
        return [{ kind: 'set', has: flags.s ? () => true : character => character !== NEWLINE }]
      case '^':
        return place(flags.m ? 'line-start' : 'text-start')
      case '$':
        return place(flags.m ? 'line-end' : 'text-end')
      case '\\':
        break
      default:
        return exactly(character.codePointAt(0)!)
    }
    if (this.#took('A')) return place('text-start')
    if (this.#took('z')) return place('text-end')
    if (this.#took('b')) return place('word-edge')
    if (this.#took('B')) return place('no-word-edge')
    if (this.#took('Q')) {
      const literals: PatternNode[] = []
      while (this.#peek() !== '' && !this.#took('\\E')) literals.push(...exactly(this.#take().codePointAt(0)!))
      return literals
    }
    const found = this.#escapedSet(flags)
    return found === undefined ? exactly(this.#escaped(start)) : set(found)
  }

  #group(flags: Flags, start: number): PatternNode {
    let inner = flags
    if (this.#took('?')) {
      const rest = this.#characters.slice(this.#at).join('')
      const head = /^(?:P?<[A-Za-z0-9_]+>|([imsU]*-?[imsU]*):)/.exec(rest)
      if (head === null || head[1]?.endsWith('-')) this.#fail('a group that RE2 does not have', start)
      this.#at += head[0].length
      inner = changed(flags, head[1] ?? '')
    }
    const node = this.#alternatives(inner)
    if (!this.#took(')')) this.#fail('a group that does not end', start)
    return node
  }

  /** Parses a class after its `[`. */
  #class(flags: Flags, start: number): CharacterSet {
    const negated = this.#took('^')
    const sets: CharacterSet[] = []
    for (let first = true; first || this.#peek() !== ']'; first = false) {
      if (this.#peek() === '') this.#fail('a class that does not end', start)
      sets.push(this.#posix(flags) ?? this.#setInClass(flags) ?? folded(this.#range(), flags))
    }
    this.#took(']')
    return negated ? not(either(...sets)) : either(...sets)
  }

  /** Parses `[:alpha:]` and `[:^alpha:]`. */
  #posix(flags: Flags): CharacterSet | undefined {
    const found = /^\[:(\^?)(\w+):\]/.exec(this.#characters.slice(this.#at, this.#at + 12).join(''))
    if (found === null) return undefined
    const [all, negated, name = ''] = found
    if (!Object.hasOwn(POSIX, name)) this.#fail(`no class ${all}`)
    this.#at += all.length
    const has = folded(POSIX[name]!, flags)
    return negated ? not(has) : has
  }

  #setInClass(flags: Flags): CharacterSet | undefined {
    if (this.#peek() !== '\\') return undefined
    this.#at += 1
    const found = this.#escapedSet(flags)
    if (found === undefined) this.#at -= 1
    return found
  }

  #range(): CharacterSet {
    const start = this.#at
    const low = this.#inClass()
    if (this.#peek() !== '-' || this.#peek(1) === ']' || this.#peek(1) === '') return between(low, low)
    this.#at += 1
    const high = this.#inClass()
    if (high < low) this.#fail('a range that ends before it begins', start)
    return between(low, high)
  }

  #inClass(): number {
    const start = this.#at
    const character = this.#take()
    return character === '\\' ? this.#escaped(start) : character.codePointAt(0)!
  }

  /** Parses a set after a backslash: `d`, `W`, `pL`, `p{Greek}`, `P{^Lu}`. */
  #escapedSet(flags: Flags): CharacterSet | undefined {
    const letter = this.#peek()
    const perl = Object.hasOwn(PERL, letter.toLowerCase()) ? PERL[letter.toLowerCase()] : undefined
    if (perl !== undefined) {
      this.#at += 1
      const has = folded(perl, flags)
      return letter === letter.toLowerCase() ? has : not(has)
    }
    if (letter !== 'p' && letter !== 'P') return undefined
    const found = /^[pP](?:([A-Z])|\{(\^?)([A-Za-z_]+)\})/.exec(
      this.#characters.slice(this.#at, this.#at + 40).join(''),
    )
    if (found === null) this.#fail('a class of Unicode without a name')
    const has = folded(this.#unicode(found[1] ?? found[3]!), flags)
    this.#at += found[0].length
    return (letter === 'P') === (found[2] === '^') ? has : not(has)
  }

  #unicode(name: string): CharacterSet {
    if (name === 'Any') return () => true
    try {
      const property = new RegExp(`^\\p{${name.length <= 2 ? name : `Script=${name}`}}$`, 'u')
      return character => property.test(String.fromCodePoint(character))
    } catch {
      this.#fail(`no class ${name} in Unicode`)
    }
  }

  /** Parses one character after a backslash. */
  #escaped(start: number): number {
    const rest = this.#characters.slice(this.#at, this.#at + 12).join('')
    const octal = /^(?:0[0-7]{0,2}|[1-7][0-7]{1,2})/.exec(rest)?.[0]
    if (octal !== undefined) {
      this.#at += octal.length
      return Number.parseInt(octal, 8)
    }
    const hex = /^x(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]{1,8})\})/.exec(rest)
    if (hex !== null) {
      const code = Number.parseInt(hex[1] ?? hex[2]!, 16)
      if (code > 0x10ffff) this.#fail('no such character', start)
      this.#at += hex[0].length
      return code
    }
    const character = this.#take()
    if (Object.hasOwn(CONTROLS, character)) return CONTROLS[character]!
    if (/[A-Za-z0-9]|[^\0-\x7f]/.test(character)) this.#fail('an escape that RE2 does not have', start)
    return character.codePointAt(0)!
  }
}

/** Changes the flags. `i-s` sets i and clears s. `U` is ignored, because it only changes greediness. */
function changed(flags: Flags, words: string): Flags {
  const [on = '', off = ''] = words.split('-')
  const now = (flag: keyof Flags): boolean => !off.includes(flag) && (on.includes(flag) || flags[flag])
  return { i: now('i'), m: now('m'), s: now('s') }
}
