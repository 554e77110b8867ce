// The glossary of CONTRIBUTING names words that are not used: metaphors where the field has a term. They are looked for in
// pages, in code with its comments and messages, and in titles of tests.
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { titlesOf } from '../../helpers/docs/titles'

const root = path.join(__dirname, '../../..')
const read = (file: string): string => readFileSync(path.join(root, file), 'utf8')

/** Each word of the glossary's last column, in all its forms. */
const FORMS: Record<string, RegExp> = {
  amiss: /\bamiss\b/,
  door: /\bdoors?\b/,
  facade: /\bfa[cç]ades?\b/,
  hop: /\bhops?\b/,
  mend: /\bmend(s|ed|ing)?\b/,
  news: /\bnews\b/,
  'put right': /\bput(s|ting)? right\b/,
  'stands on': /\b(stand|stands|standing|stood) (up)?on\b/,
  stranger: /\bstrangers?\b/,
  'take back': /\b(take|takes|taken|taking|took) back\b/,
  trip: /(?<!round-)\btrips?\b/,
  witness: /\bwitness(es|ed)?\b/,
  worlds: /\b(both|other|two) worlds\b/,
}

/** Words for "reports", "is ignored", "again" and the like, in pages and titles. */
const VAGUE: readonly RegExp[] = [
  /\b(told|tells|heard|hears)\b/,
  /\b(anew|meanwhile|mostly)\b/,
  /\blets? go\b/,
  /\b(has|have) not the\b/,
]

function filesOf(folder: string, extension: RegExp): string[] {
  return readdirSync(path.join(root, folder), { withFileTypes: true }).flatMap(entry => {
    const name = path.join(folder, entry.name)
    if (!entry.isDirectory()) return extension.test(name) ? [name] : []
    // Folders with a dot belong to the site, and docs/api is written from the docstrings.
    const isWritten = entry.name.startsWith('.') || entry.name === 'node_modules' || name === 'docs/api'
    return isWritten ? [] : filesOf(name, extension)
  })
}

const pages = [
  ...readdirSync(root).filter(name => name.endsWith('.md')),
  ...filesOf('docs', /\.md$/),
  ...filesOf('examples', /\.md$/),
]
const tests = filesOf('test', /\.ts$/)
const sources = ['lib', 'native', 'test', 'examples']
  .flatMap(folder => filesOf(folder, /\.(m?ts|[cm]?js|cc?|h|sh)$/))
  .filter(file => file !== path.relative(root, __filename))

interface Line {
  readonly where: string
  readonly text: string
}

const linesOf = (file: string, text = read(file)): Line[] =>
  text.split('\n').map((line, at) => ({ where: `${file}:${at + 1}`, text: line }))

/** The page without the glossary's last column, which names the words. */
function pageLines(page: string): Line[] {
  if (page !== 'CONTRIBUTING.md') return linesOf(page)
  const isRow = ({ text }: Line): boolean => /^\|.*\|.*\|.*\|$/.test(text)
  return linesOf(page).map(line => (isRow(line) ? { ...line, text: line.text.replace(/[^|]*\|$/, '') } : line))
}

const found = (lines: readonly Line[], words: readonly RegExp[]): string[] =>
  lines
    .filter(({ text }) => words.some(word => word.test(text.toLowerCase())))
    .map(({ where, text }) => `${where}: ${text.trim()}`)

/** The last column of the glossary. */
function glossary(): string[] {
  const section = /^## Glossary\n([\s\S]*?)^## /m.exec(read('CONTRIBUTING.md'))![1]!
  const rows = section.split('\n').filter(line => line.startsWith('|'))
  expect(rows.length).toBeLessThanOrEqual(50)
  return rows
    .slice(2)
    .flatMap(row => row.split('|').at(-2)!.split(','))
    .map(word => word.trim())
    .filter(word => word !== '')
}

test('the words that are searched are those of the glossary', () => {
  expect(glossary().sort()).toEqual(Object.keys(FORMS).sort())
})

test('a word is found in each of its forms, and other words are not', () => {
  const all = Object.values(FORMS)
  const of = (text: string): number => found([{ where: '', text }], all).length
  for (const text of ['A door.', 'taken back', 'stood upon', 'in one hop', 'Puts right']) expect(of(text)).toBe(1)
  for (const text of ['outdoors', 'commend', 'hello world', 'withstand', 'stripped', 'a round-trip', 'a shop'])
    expect(of(text)).toBe(0)
})

test('no page uses a word that the glossary rejects', () => {
  expect(pages.length).toBeGreaterThan(30)
  const lines = pages.flatMap(pageLines)
  expect(found(lines, [...Object.values(FORMS), ...VAGUE])).toEqual([])
})

test('no comment, message or name in the code uses a word that the glossary rejects', () => {
  expect(sources.length).toBeGreaterThan(800)
  const left = found(
    sources.flatMap(file => linesOf(file)),
    Object.values(FORMS),
  )
  expect(left).toEqual([])
})

test('no title of a test uses a word that pages do not use', () => {
  const titles = tests.flatMap(file =>
    titlesOf(path.join(root, file)).map(({ line, text }) => ({ where: `${file}:${line}`, text })),
  )
  expect(titles.length).toBeGreaterThan(1400)
  expect(found(titles, [...Object.values(FORMS), ...VAGUE])).toEqual([])
})
