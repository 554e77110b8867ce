// The docstrings of everything that is public, and the pages of `npm run docs`, which say what these say and nothing else.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { brokenLinks } from '../../helpers/docs/links'
import { publicApi, root, type Exported, type Member } from '../../helpers/docs/public-api'

const api = publicApi()
const scratch = mkdtempSync(path.join(tmpdir(), 'dm-thin-api-'))
const folder = path.join(scratch, 'docs/api')
let pages: Record<string, string> = {}
let result: { status: number | null; output: string }
const pageOf = (entry: string): string => `${entry.replace('dm-thin/', '')}.md`
const all = [...new Set([...api.values()].flat())]
const classes = all.filter(({ isClass }) => isClass)

/** Without links, escapes and line breaks. */
const plain = (text: string): string =>
  text
    .replace(/\[(`[^`]*`)\]\([^)]*\)/g, '$1')
    .replaceAll('\\', '')
    .replace(/\s+/g, ' ')
const firstSentence = (text: string): string => plain(/^.*?(?:[.:](?=\s)|$)/s.exec(text)![0])
const nameIn = (heading: string): string => heading.replaceAll('\\', '').replace(/\(\)|\?$/g, '')

/** What is under each heading of a level, down to the next one of it or above. */
function sections(page: string, level: number): Map<string, string> {
  const parts = page.split(new RegExp(`^(?=#{1,${level}} )`, 'm'))
  const wanted = parts.filter(part => part.startsWith(`${'#'.repeat(level)} `))
  // A class may have a static and another method of one name: their sections are joined.
  const joined = new Map<string, string>()
  for (const part of wanted) {
    const name = nameIn(/^#+ (.*)/.exec(part)![1]!)
    joined.set(name, (joined.get(name) ?? '') + part)
  }
  return joined
}

/** Words that state no fact. */
const EMPTY = new Set(['a', 'an', 'the', 'of', 'its', 'this'])
/** Returns true if a description has at most one word besides those of the field's name. */
function restates(path: string, own: string): boolean {
  const name = path.split('.').at(-1)!
  const known = name.replace(/[A-Z]/g, ' $&').toLowerCase().split(' ')
  const words = own.toLowerCase().match(/[a-z0-9]+/g) ?? []
  const further = words.filter(
    word => !EMPTY.has(word) && !known.includes(word) && !known.includes(word.replace(/s$/, '')),
  )
  return further.length < 2
}

const KINDS = /^#+ (?:Constructors|Properties|Accessors|Methods)$/m

/** The entries of members: rows of tables, and headings one level below those of their kinds. */
function memberEntries(text: string, level: number): Map<string, string> {
  const kinds = text.split(new RegExp(`^(?=#{1,${level}} )`, 'm')).filter(part => KINDS.test(part.split('\n')[0]!))
  return new Map(
    kinds.flatMap(part => [
      ...sections(part, level + 1),
      ...[...part.matchAll(/^\| <a id="property-[^"]*"><\/a> `([^`.]+?)\??` \|.*$/gm)].map(
        ([row, name]) => [name!, row] as [string, string],
      ),
    ]),
  )
}

const textOf = ({ entry, name, isClass }: Exported): string =>
  isClass ? (pages[`${name}.md`] ?? '') : (sections(pages[pageOf(entry)]!, 3).get(name) ?? '')
const entriesOf = (each: Exported): Map<string, string> => memberEntries(textOf(each), each.isClass ? 2 : 4)

beforeAll(() => {
  const program = path.join(root, 'node_modules/typedoc/bin/typedoc')
  const args = [program, '--out', folder, '--logLevel', 'Warn']
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' })
  result = { status, output: stdout + stderr }
  pages = Object.fromEntries(readdirSync(folder).map(name => [name, readFileSync(path.join(folder, name), 'utf8')]))
})

afterAll(() => rmSync(scratch, { recursive: true }))

test('typedoc writes the pages without a warning', () => {
  expect(result).toEqual({ status: 0, output: '' })
})

test('every relative link of the pages has an existing target', () => {
  for (const name of readdirSync(path.join(root, 'docs')).filter(each => each.endsWith('.md')))
    cpSync(path.join(root, 'docs', name), path.join(scratch, 'docs', name))
  const links = Object.keys(pages).flatMap(name => brokenLinks(path.join(folder, name)))
  expect(links).toEqual([])
  expect(pages['ThinPool.md']).toContain('](../errors.md#dm_pool_full)')
})

test('each entry and each class has a page', () => {
  const names = [...[...api.keys()].map(pageOf), ...classes.map(({ name }) => `${name}.md`), 'README.md']
  expect(Object.keys(pages).sort()).toEqual(names.sort())
  expect([...api.keys()]).toEqual([
    'dm-thin',
    'dm-thin/kernel',
    'dm-thin/store',
    'dm-thin/metadata',
    'dm-thin/metrics',
    'dm-thin/transfer',
    'dm-thin/snapshotter',
    'dm-thin/snapshot-metadata',
    'dm-thin/testing',
  ])
})

test.each([...api])('the page of %s has an entry for each export, and no other', (entry, exported) => {
  const page = pages[pageOf(entry)]!
  const listed = [...page.matchAll(/^\| \[(\w+)\]\(\w+\.md\) \|/gm)].map(match => match[1]!)
  const names = exported.map(({ name }) => name)
  expect([...sections(page, 3).keys(), ...listed].sort()).toEqual(names.sort())
})

test('each export has a description of its own, with which its entry begins', () => {
  expect(all.length).toBeGreaterThan(200)
  expect(all.filter(({ own }) => own === '').map(({ name }) => name)).toEqual([])
  const wrong = all.filter(each => !plain(textOf(each)).includes(firstSentence(each.own)))
  expect(wrong.map(({ name }) => name)).toEqual([])
})

test.each(classes.map(each => [each.name, each] as const))(
  'the page of the class %s has an entry for each public member, and no other',
  (_, each) => {
    expect([...entriesOf(each).keys()].sort()).toEqual([...new Set(each.members.map(({ name }) => name))].sort())
    expect(each.members.filter(({ own }) => own === '').map(({ name }) => name)).toEqual([])
  },
)

test('each interface has an entry for each of its members and no other, and its methods are described', () => {
  const interfaces = all.filter(({ isClass, members }) => !isClass && members.length > 0)
  expect(interfaces.length).toBeGreaterThan(100)
  const differing = interfaces.filter(each => {
    const [found, wanted] = [[...entriesOf(each).keys()], each.members.map(({ name }) => name)]
    return found.sort().join() !== wanted.sort().join()
  })
  expect(differing.map(({ name }) => name)).toEqual([])
  const methods = interfaces.flatMap(({ name, members }) => members.map(each => ({ ...each, of: name })))
  const silent = methods.filter(({ method, own }) => method && own === '')
  expect(silent.map(({ of, name }) => `${of}.${name}`)).toEqual([])
})

const fields = all.flatMap(each => each.fields)

test('each public field has a description that is a sentence of its own', () => {
  expect(fields.length).toBeGreaterThan(800)
  expect(fields.filter(({ own }) => !/[.:…]$/.test(own)).map(({ path }) => path)).toEqual([])
})

test('no description repeats the name of its field and nothing more', () => {
  expect(restates('RemovedPool.files', 'The files.')).toBe(true)
  expect(restates('SpaceStatus.totalBytes', 'The total number of bytes.')).toBe(true)
  expect(restates('RemovedPool.files', 'Paths of the files that were deleted.')).toBe(false)
  expect(fields.filter(({ path, own }) => restates(path, own)).map(({ path }) => path)).toEqual([])
})

test('each optional field of options and tables has its default in its description', () => {
  const optional = fields.filter(({ needsDefault }) => needsDefault)
  expect(optional.length).toBeGreaterThan(150)
  expect(optional.filter(({ own }) => !/\b(default|required)\b/i.test(own)).map(({ path }) => path)).toEqual([])
})

test('each asynchronous method says how it fails, apart from those that close an object', () => {
  const calls = fields.filter(({ path, isAsync }) => isAsync && !/\.(close|\[Symbol\.asyncDispose\])$/.test(path))
  expect(calls.length).toBeGreaterThan(100)
  expect(calls.filter(({ own }) => !/\brejects?\b/i.test(own)).map(({ path }) => path)).toEqual([])
})

test('each literal of a union is explained where the union is described', () => {
  const unions = all.flatMap(each => each.unions).filter(({ path }) => path !== 'ErrorCode') // errors.md explains them
  expect(unions.length).toBeGreaterThan(40)
  const missing = unions.flatMap(({ path, own, literals }) =>
    literals
      .filter(each => !own.includes(`\`${each}\``) && !own.includes(`\`'${each}'\``))
      .map(each => `${path}: ${each}`),
  )
  expect(missing).toEqual([])
})

test('the entry of a member has the description of its own declaration, and names the class from which it is inherited', () => {
  const isWrong = (entry: string, { own, inherited }: Member): boolean => {
    if (inherited && !/#### Inherited from|\| \[?`\w+[<`].*\|$/.test(entry)) return true
    if (own !== '') return !plain(entry).includes(firstSentence(own))
    const fourth = entry.replaceAll('\\|', '').split(' | ')[3] ?? '-' // a description, or else the base
    return entry.startsWith('|') && !/^(- ?\|?|\[?`.*)$/.test(fourth)
  }
  const wrong = all.flatMap(each => {
    const entries = entriesOf(each)
    return each.members
      .filter(member => isWrong(entries.get(member.name) ?? '', member))
      .map(member => `${each.name}.${member.name}`)
  })
  expect(wrong).toEqual([])
})
