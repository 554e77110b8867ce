// Links between pages lead somewhere, and the index of docs/ lists each page.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { brokenLinks } from '../../helpers/docs/links'

const root = path.join(__dirname, '../../..')
const inFolder = (folder: string): string[] =>
  readdirSync(path.join(root, folder))
    .filter(name => name.endsWith('.md'))
    .map(name => path.join(folder, name))
const pages = [...inFolder('.'), ...inFolder('docs'), ...inFolder('docs/project')].sort()

const read = (page: string): string => readFileSync(path.join(root, page), 'utf8')

test.each([...pages, ...inFolder('docs/benchmark')])('every relative link of %s has an existing target', page => {
  expect(brokenLinks(path.join(root, page))).toEqual([])
})

/** Paths of the repository in backticks. Words in capitals and `*` stand for a name: the folder before them must exist. */
const pathsIn = (page: string): string[] =>
  [...read(page).matchAll(/`((?:lib|test|native|examples)\/[^`\s]*)`/g)].map(([, name]) =>
    name!.replace(/(?<=\/)[^/]*(?:[A-Z]{4,}|\*).*$/, ''),
  )

test.each([...pages, 'test/README.md'])('every path of the repository that %s names exists', page => {
  expect(pathsIn(page).filter(name => !existsSync(path.join(root, name)))).toEqual([])
})

test('the index lists each page once, in groups, and each page links back to it', () => {
  const index = read('docs/README.md')
  const listed = [...index.matchAll(/^- \[[^\]]+\]\(([^)]+)\)/gm)]
    .map(match => match[1]!)
    .filter(name => !name.startsWith('benchmark/'))
  const names = [...inFolder('docs'), ...inFolder('docs/project')]
    .map(file => path.relative('docs', file))
    .filter(name => name !== 'README.md')
  expect([...listed].sort()).toEqual(names.sort())
  expect([...index.matchAll(/^## (.*)$/gm)].map(match => match[1])).toEqual([
    'Start',
    'Guides',
    'Operations',
    'Reference',
    'Project',
  ])
  expect(names.filter(name => !/^\[Documentation\]\((?:\.\.\/)?README\.md\)/m.test(read(`docs/${name}`)))).toEqual([])
})
