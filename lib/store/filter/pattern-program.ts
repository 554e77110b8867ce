// The search for a pattern in a text. All branches run at once, so that the time is at most proportional to the product of
// both sizes. It only determines whether the pattern occurs, so that captures and greediness have no meaning. Pure.
import { isWord, type CharacterSet } from './character-sets.js'
import { PatternFault, type PatternNode, type Place } from './pattern.js'

/** A step of the program: match a character, check the place, continue in two branches, or succeed. */
type Step =
  | { readonly kind: 'set'; readonly has: CharacterSet; readonly next: number }
  | { readonly kind: 'place'; readonly place: Place; readonly next: number }
  | { readonly kind: 'fork'; readonly next: number; readonly other: number }
  | { readonly kind: 'found' }

/** The limit for the size of a program, because nested repeats could fill the memory. */
const MAX_STEPS = 10_000

/**
 * Compiles a pattern to a function that returns whether a text contains it.
 *
 * @throws PatternFault for a pattern that is too large
 */
export function compilePattern(root: PatternNode): (text: string) => boolean {
  const program = new Program()
  const start = program.add(root, program.step({ kind: 'found' }))
  return text => run(program.steps, start, text)
}

/** A program. It is built from its end, so that each step knows the next one. */
class Program {
  readonly steps: Step[] = []
  #work = 0

  step(step: Step): number {
    return this.steps.push(step) - 1
  }

  /** Adds the steps of `node`, which continue at `next`. Returns the first step. */
  add(node: PatternNode, next: number): number {
    this.#work += 1
    if (this.#work > MAX_STEPS) throw new PatternFault(0, 'the expression is too large')
    switch (node.kind) {
      case 'set':
        return this.step({ kind: 'set', has: node.has, next })
      case 'place':
        return this.step({ kind: 'place', place: node.place, next })
      case 'sequence':
        return node.of.reduceRight((after, each) => this.add(each, after), next)
      case 'either':
        return node.of
          .map(each => this.add(each, next))
          .reduceRight((other, each) => this.step({ kind: 'fork', next: each, other }))
      case 'repeat':
        return this.#repeat(node.of, node.least, node.most, next)
    }
  }

  #repeat(node: PatternNode, least: number, most: number, next: number): number {
    let start = next
    if (most === Infinity) {
      start = this.step({ kind: 'found' }) // a placeholder: the body of the fork needs its index
      this.steps[start] = { kind: 'fork', next: this.add(node, start), other: next }
    } else {
      for (let more = least; more < most; more += 1) {
        start = this.step({ kind: 'fork', next: this.add(node, start), other: next })
      }
    }
    for (let times = 0; times < least; times += 1) start = this.add(node, start)
    return start
  }
}

const NONE = -1

function run(steps: readonly Step[], start: number, text: string): boolean {
  const characters = Array.from(text, character => character.codePointAt(0)!)
  const seenAt = new Int32Array(steps.length).fill(NONE)
  let waiting: number[] = []
  for (let at = 0; at <= characters.length; at += 1) {
    const before = characters[at - 1] ?? NONE
    const here = characters[at] ?? NONE
    const reached: number[] = []
    const stack = [...waiting, start]
    while (stack.length > 0) {
      const index = stack.pop()!
      if (seenAt[index] === at) continue
      seenAt[index] = at
      const step = steps[index]!
      if (step.kind === 'found') return true
      if (step.kind === 'fork') stack.push(step.next, step.other)
      else if (step.kind === 'place') {
        if (isAt(step.place, before, here)) stack.push(step.next)
      } else if (here !== NONE && step.has(here)) reached.push(step.next)
    }
    waiting = reached
  }
  return false
}

const NEWLINE = 10

function isAt(place: Place, before: number, here: number): boolean {
  const edge = (before !== NONE && isWord(before)) !== (here !== NONE && isWord(here))
  switch (place) {
    case 'text-start':
      return before === NONE
    case 'text-end':
      return here === NONE
    case 'line-start':
      return before === NONE || before === NEWLINE
    case 'line-end':
      return here === NONE || here === NEWLINE
    case 'word-edge':
      return edge
    case 'no-word-edge':
      return !edge
  }
}
