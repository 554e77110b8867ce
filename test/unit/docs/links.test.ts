// Links between pages lead somewhere, and the index of docs/ lists each page.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

const root = path.join(__dirname, '../../..')
const inFolder = (folder: string): string[] =>
  readdirSync(path.join(root, folder))
    .filter(name => name.endsWith('.md'))
    .map(name => path.join(folder, name))
const pages = [...inFolder('.'), ...inFolder('docs'), ...inFolder('docs/api')].sort()

const read = (page: string): string => readFileSync(path.join(root, page), 'utf8')
const withoutCode = (page: string): string =>
  read(page)
    .replace(/^```[\s\S]*?^```$/gm, '')
    .replace(/`[^`\n]*`/g, '`x`')

/** The anchors of a page: of each heading lower case, no punctuation, hyphens for blanks, a number from the second on. */
function anchors(page: string): string[] {
  const text = read(page).replace(/^```[\s\S]*?^```$/gm, '')
  const slugs = [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  )
  const count = (slug: string, index: number) => slugs.slice(0, index).filter(each => each === slug).length
  const numbered = slugs.map((slug, index) => (count(slug, index) ? `${slug}-${count(slug, index)}` : slug))
  return [...numbered, ...[...text.matchAll(/<a id="([^"]+)">/g)].map(match => match[1]!)]
}

function brokenLinks(page: string): string[] {
  const targets = [...withoutCode(page).matchAll(/\]\(([^)\s]+)\)/g)].map(match => match[1]!)
  return targets.filter(target => {
    if (/^[a-z]+:/.test(target)) return false
    const [file = '', anchor] = target.split('#')
    const to = file === '' ? page : path.normalize(path.join(path.dirname(page), file))
    if (!existsSync(path.join(root, to))) return true
    return anchor !== undefined && !anchors(to).includes(anchor)
  })
}

test.each(pages)('every relative link of %s has an existing target', page => {
  expect(brokenLinks(page)).toEqual([])
})

test('the index lists each page once, in groups, and each page links back to it', () => {
  const index = read('docs/README.md')
  const listed = [...index.matchAll(/^- \[[^\]]+\]\(([^)]+)\)/gm)]
    .map(match => match[1]!)
    .filter(name => !/^(api|benchmark)\//.test(name))
  const names = readdirSync(path.join(root, 'docs')).filter(name => name.endsWith('.md') && name !== 'README.md')
  expect([...listed].sort()).toEqual(names.sort())
  expect([...index.matchAll(/^## (.*)$/gm)].map(match => match[1])).toEqual([
    'Start',
    'Guides',
    'Operations',
    'Reference',
    'Project',
  ])
  expect(names.filter(name => !/^\[Documentation\]\(README\.md\)/m.test(read(`docs/${name}`)))).toEqual([])
})
