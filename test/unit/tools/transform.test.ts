// What jest gets of a module: constants for the names of the language, and all else as it was written.
import { runInNewContext } from 'node:vm'

interface Transformer {
  readonly CONSTANTS: string
  process(text: string, file: string, options: object): { code: string }
}
const transformer = jest.requireActual<Transformer>('../../tools/runner/transform.cjs')
const options = { cwd: __dirname, config: { rootDir: __dirname }, configString: '', transformerConfig: {} }
const transformed = (text: string) => transformer.process(text, `${__dirname}/x.ts`, options).code

/** What the module exports, and how often it read the two names from the global object. */
function run(text: string): { exports: Record<string, unknown>; reads: { Math: number; Date: number } } {
  const module = { exports: {} as Record<string, unknown> }
  const reads = { Math: 0, Date: 0 }
  const global = {
    module,
    exports: module.exports,
    get Math() {
      reads.Math++
      return Math
    },
    get Date() {
      reads.Date++
      return Date
    },
  }
  runInNewContext(`(() => { ${transformed(text)}\n })()`, global)
  return { exports: module.exports, reads }
}

test('a module reads a name of the language from the global object once, however often it uses it', () => {
  const { exports, reads } = run('let n = 0\nfor (let i = 0; i < 50; i++) n += Math.min(i, 1)\nexport const result = n')
  expect(exports['result']).toBe(49)
  expect(reads.Math).toBe(1)
})

test('a module reads Date at each use, since fake timers replace it', () => {
  const { exports, reads } = run('export const dates = [new Date(0), new Date(1)]')
  expect(exports['dates']).toHaveLength(2)
  expect(reads.Date).toBe(2)
})

test('a module is strict, and may begin with a line for the shell', () => {
  const { exports } = run('#!/usr/bin/env node\nexport const self = (function (this: unknown) { return this })()')
  expect(exports['self']).toBeUndefined()
})

test('the lines of a module keep their numbers, by which a failure is found in the source', () => {
  const { CONSTANTS } = transformer
  expect(CONSTANTS).not.toContain('\n')
  expect(transformed('export const x = 1').startsWith(`${CONSTANTS}"use strict";\n`)).toBe(true)
})
