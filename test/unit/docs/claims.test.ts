// What pages claim of the whole library, by reading the code: the programs that it starts, and the files that they name.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

const root = path.join(__dirname, '../../..')
const read = (file: string): string => readFileSync(path.join(root, file), 'utf8')
const inFolder = (folder: string): string[] =>
  readdirSync(path.join(root, folder), { recursive: folder !== '.', encoding: 'utf8' })
    .filter(name => name.endsWith('.md') && !/^(api|\.vitepress)\//.test(name))
    .map(name => path.join(folder, name))
const pages = [...inFolder('.'), ...inFolder('docs'), 'test/README.md']

describe('child processes', () => {
  const section = /^## Child processes\n([\s\S]*?)^## /m.exec(read('docs/processes.md'))![1]!

  test('are those that processes.md names', () => {
    const tools = /type ThinTool = (.*)/.exec(read('lib/pool/check/thin-tools.ts'))![1]!.matchAll(/'(\w+)'/g)
    const formatters = read('lib/store/common/mkfs.ts').matchAll(/'(mkfs\.\w+)'/g)
    const started = new Set([...tools, ...formatters].map(([, name]) => name))
    const named = section.matchAll(/`((?:thin_|mkfs\.)\w+)`/g)
    expect([...new Set([...named].map(([, name]) => name))].sort()).toEqual([...started].sort())
  })

  test('have a link to their list on each page that makes a claim of all of them', () => {
    const claims = /\bstarts? (?:no|any) (?:other )?(?:process|program)/
    const silent = pages.filter(page => {
      const text = read(page).replace(section, '')
      return claims.test(text) && !text.includes('#child-processes)')
    })
    expect(silent).toEqual([])
  })
})

describe('package.json', () => {
  const { engines, dependencies, peerDependencies, scripts } = JSON.parse(read('package.json')) as Record<
    'engines' | 'dependencies' | 'peerDependencies' | 'scripts',
    Record<string, string>
  >

  test('has each script that a page runs', () => {
    const missing = pages
      .filter(page => page !== 'CHANGELOG.md')
      .flatMap(page =>
        [...read(page).matchAll(/npm run ([\w:-]*\w)/g)]
          .filter(([, name]) => scripts[name!] === undefined)
          .map(([command]) => `${page}: ${command}`),
      )
    expect(missing).toEqual([])
  })

  test('has the lowest version of Node and the dependencies that pages name', () => {
    const lowest = engines['node']!.replace('>=', '')
    for (const page of ['README.md', 'docs/getting-started.md', 'docs/containerd.md'])
      expect(read(page)).toContain(`Node ${lowest} or later`)
    const section = /^## Supply chain\n([\s\S]*)/m.exec(read('SECURITY.md'))![1]!
    const names = [...section.matchAll(/`([\w@./-]+)`/g)]
      .map(([, name]) => name!)
      .filter(name => name !== 'dm-thin/store')
    const all = [...Object.keys(dependencies), ...Object.keys(peerDependencies)]
    expect([...new Set(names)].sort()).toEqual(all.sort())
  })
})

test('only the low-level API renames devices, which some kernels do not survive after a cleared table', () => {
  const renaming = readdirSync(path.join(root, 'lib'), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.ts') && /port\.rename\(|\bdm\.rename\(/.test(read(`lib/${name}`)))
    .map(name => path.dirname(name))
  expect([...new Set(renaming)]).toEqual(['mapper'])
})

test('every file of the code that a page names in backticks exists', () => {
  const missing = pages
    .filter(page => page !== 'CHANGELOG.md') // of files as they were
    .flatMap(page =>
      [...read(page).matchAll(/`((?:lib|native|test|examples|docs(?!\/api))\/[\w./-]*\w)\/?`/g)]
        .map(([, file]) => file!)
        .filter(file => !/[A-Z]{4}/.test(file) && !existsSync(path.join(root, file)))
        .map(file => `${page}: ${file}`),
    )
  expect(missing).toEqual([])
})
