// The programs of the pages with the package as a user gets it: what they import is there, and those that need no kernel
// run.
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { programs, type Block } from '../helpers/docs/code.js'
import { consumer, plainEnvironment, run } from './package'

const runIn = (name: string, code: string) => {
  writeFileSync(path.join(consumer(), name), code)
  return run(process.execPath, [name], consumer(), plainEnvironment())
}
const where = ({ page, line }: Block): string => `${page}:${line}`
const importsOf = (code: string): string[] =>
  [...code.matchAll(/^import [^\n]* from 'dm-thin[^\n]*$/gm)].map(match => match[0])
const isForMemory = ({ code }: Block): boolean => code.includes("'dm-thin/testing'")

test('the package exports what each program imports from it', () => {
  const imports = [...new Set(programs().flatMap(({ code }) => importsOf(code)))]
  expect(imports.length).toBeGreaterThan(20)
  const names = imports.map((line, at) => line.replace(/\{(.*)\}/, (_, list: string) => `{${renamed(list, at)}}`))
  const { status, output } = runIn('imports.mjs', `${names.join('\n')}\nconsole.log('linked')\n`)
  expect({ status, output }).toEqual({ status: 0, output: 'linked\n' })
})

/** One module imports all of them, so each gets a name of its own. */
const renamed = (list: string, at: number): string =>
  list
    .split(',')
    .map(name => ` ${name.trim()} as ${name.trim()}${at}`)
    .join(',')

test.each(
  programs()
    .filter(isForMemory)
    .map(block => [where(block), block.code]),
)('%s runs on the memory kernel', (name, code) => {
  const { status, output } = runIn(`${path.basename(name).replace(/\W/g, '-')}.mjs`, code)
  expect({ status, output }).toMatchObject({ status: 0 })
})
