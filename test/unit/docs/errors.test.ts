// docs/errors.md has a heading for each code, and says of each when it occurs and what to do.
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

const root = path.join(__dirname, '../../..')
const page = readFileSync(path.join(root, 'docs/errors.md'), 'utf8')
const source = readFileSync(path.join(root, 'lib/base/errors.ts'), 'utf8')

const union = /export type ErrorCode =\n((?: {2}\| '\w+'\n)+)/.exec(source)?.[1] ?? ''
const codes = [...union.matchAll(/'(\w+)'/g)].map(match => match[1]!)
const sections = page
  .split(/^## /m)
  .slice(1)
  .filter(section => /^(DM_|ABORT_)/.test(section))

test('the headings of the page are the codes of lib/base/errors.ts, in the same order', () => {
  expect(codes.length).toBeGreaterThan(20)
  expect(sections.map(section => section.split('\n')[0])).toEqual(codes)
})

test.each(sections.map(section => [section.split('\n')[0]!, section]))('%s has "When" and "Do"', (_code, section) => {
  expect(section).toMatch(/^\*\*When:\*\* \S/m)
  expect(section).toMatch(/^\*\*Do:\*\* \S/m)
})

test('every code that a docstring or a page names exists', () => {
  const files = [
    'README.md',
    'docs/errors.md',
    ...readdirSync(path.join(root, 'lib'), { recursive: true, encoding: 'utf8' })
      .filter(name => name.endsWith('.ts'))
      .map(name => `lib/${name}`),
  ]
  const kernelWords =
    /^DM_(DEV|TABLE|TARGET|GET_TARGET|LIST|VERSION|REMOVE_ALL|QUERY|SECURE|DEFERRED|NAME_LEN|SM_METADATA)/
  for (const file of files) {
    const named = readFileSync(path.join(root, file), 'utf8').match(/`DM_[A-Z_]+`/g) ?? []
    const unknown = named
      .map(word => word.slice(1, -1))
      .filter(word => !codes.includes(word) && !kernelWords.test(word))
    expect({ file, unknown }).toEqual({ file, unknown: [] })
  }
})
