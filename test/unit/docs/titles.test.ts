// The form of titles of tests: each names its subject, by itself or with the suites that contain it. The headers of files
// that list scenarios of other projects refer to tests by the beginnings of their titles.
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { titlesIn, titlesOf, type Title } from '../../helpers/docs/titles'

const root = path.join(__dirname, '../../..')
const files = (readdirSync(path.join(root, 'test'), { recursive: true }) as string[])
  .filter(name => /\.ts$/.test(name) && !/(^|\/)node_modules\//.test(name))
  .map(name => path.join('test', name))
const titles = new Map(files.map(file => [file, titlesOf(path.join(root, file))]))

/** A clause without a subject, a condition before its subject, or the rest of a sentence. */
const HEADLESS =
  /^(what|where|whose|who|whoever|whom|which|how|why|when|while|whether|if|that|of|and|but|or|nor|with|without|to|in|on|at|by|as|from|for|after|before|between|because)\b/i
/** A verb that is no noun: it needs a suite that names its subject. */
const VERB =
  /^(is|are|was|were|has|have|had|does|do|did|can|may|must|should|will|rejects|returns|accepts|keeps|throws|resolves|contains)\b/i
const PLACEHOLDER = /^%[a-z]$/
/** The cases of the contract have titles of their own, under suites that are named by their subjects. */
const CONTRACT = 'test/contract/contract.ts'

function found(isWrong: (title: Title) => boolean): string[] {
  return [...titles].flatMap(([file, all]) =>
    file === CONTRACT ? [] : all.filter(isWrong).map(({ line, text }) => `${file}:${line} ${text}`),
  )
}

test('the titles of a source file are read with the suites that contain them', () => {
  const source = [
    "describe.each(['a'])('a pool of %s', kind => {",
    '  test(`grows by ${kind}`, () => {})',
    "  it.each([[1, '(']])('has %i', () => {})",
    '})',
    "export const CASES = [{ title: 'a case', run: () => test.skip }]",
  ]
  expect(titlesIn(source.join('\n'))).toEqual([
    { line: 1, text: 'a pool of %s', kind: 'suite', suites: [] },
    { line: 2, text: 'grows by %s', kind: 'test', suites: ['a pool of %s'] },
    { line: 3, text: 'has %i', kind: 'test', suites: ['a pool of %s'] },
    { line: 5, text: 'a case', kind: 'case', suites: [] },
  ])
})

test('no title begins without a subject', () => {
  expect([...titles.values()].flat().length).toBeGreaterThan(1400)
  expect(found(({ text }) => HEADLESS.test(text))).toEqual([])
})

test('each title that begins with a verb is in a suite that names its subject', () => {
  expect(found(({ text, suites }) => VERB.test(text) && suites.length === 0)).toEqual([])
})

test('each title of a test has words in addition to the values of a table, and three words outside of a suite', () => {
  expect(found(({ text, kind }) => kind !== 'suite' && PLACEHOLDER.test(text))).toEqual([])
  const isShort = ({ text, kind, suites }: Title): boolean =>
    kind !== 'suite' && suites.length === 0 && text.split(' ').length < 3
  expect(found(isShort)).toEqual([])
})

/** What the right column of a header names: `beginning of a title …`, a file, or a remark. */
function references(file: string): string[] {
  const lines = readFileSync(path.join(root, file), 'utf8').split('\n')
  const start = lines.findIndex(line => /^\/\/ Scenario\b.* Test$/.test(line))
  if (start < 0) return []
  const header = lines.slice(start + 1)
  const end = header.findIndex(line => !line.startsWith('// ') || line.startsWith('// @'))
  return header
    .slice(0, end)
    .flatMap(line => / {2,}(\S.*)$/.exec(line.replace(/.*\S(?= {2,}\S)/, ''))?.[1]?.split('; ') ?? [])
}

test('each reference of a header to a test is the beginning of a title in its file', () => {
  const all = files.map(file => [file, references(file).filter(each => each.endsWith(' …'))] as const)
  expect(all.flatMap(([, refs]) => refs).length).toBeGreaterThan(200)
  const wrong = all.flatMap(([file, refs]) => {
    const own = titles.get(file)!.map(({ text }) => text.replaceAll('’', "'"))
    return refs
      .map(each => each.replace(/ …$/, '').replaceAll('’', "'"))
      .filter(each => !own.some(text => text.startsWith(each)))
      .map(each => `${file} ${each}`)
  })
  expect(wrong).toEqual([])
})
