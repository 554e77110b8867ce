// docs/api-at-a-glance.md: its examples compile against the library, and use each export and each member of each class.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import ts from 'typescript'
import { readPage } from '../../helpers/docs/code'
import { entryFiles, entryOf, isPublic, libraryOptions, root } from '../../helpers/docs/public-api'

const PAGE = 'docs/api-at-a-glance.md'
const folder = path.join(root, '.cache/docs-code/at-a-glance')
const page = readPage(PAGE)

interface Section {
  /** The entry, as `dm-thin/kernel`. */
  readonly entry: string
  /** The line of the page on which it begins, from 1. */
  readonly line: number
  readonly text: string
}

/** The part of the page about each entry, which begins with its heading. */
const sections: Section[] = [...page.matchAll(/^## (dm-thin\S*)\n[\s\S]*?(?=^## |$(?![\s\S]))/gm)].map(match => ({
  entry: match[1]!,
  line: page.slice(0, match.index).split('\n').length,
  text: match[0],
}))
const headingsOf = ({ text }: Section): string[] => [...text.matchAll(/^### (\w+)$/gm)].map(([, name]) => name!)

/** One module of all examples of a section: other lines are empty, so that each line has its number. */
function moduleOf({ text }: Section): string {
  let inside = false
  const lines = text.split('\n').map(line => {
    const edge = /^```/.test(line)
    if (edge) inside = line === '```ts'
    return inside && !edge ? line : ''
  })
  return lines.join('\n')
}

const fileOf = ({ entry }: Section): string => path.join(folder, `${entry.replace('/', '-')}.mts`)

let program: ts.Program
let checker: ts.TypeChecker

beforeAll(() => {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  for (const section of sections) writeFileSync(fileOf(section), moduleOf(section))
  const paths = { 'dm-thin': ['./lib/entry/index.ts'], 'dm-thin/*': ['./lib/entry/*.ts'] }
  const options = { ...libraryOptions(), rootDir: root, noEmit: true, declaration: false, noUnusedLocals: false, paths }
  program = ts.createProgram([...entryFiles, ...sections.map(fileOf)], options)
  checker = program.getTypeChecker()
})

const target = (symbol: ts.Symbol): ts.Symbol =>
  symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol

/** The classes, functions and constants that an entry exports. */
function valuesOf(file: string): ts.Symbol[] {
  const source = checker.getSymbolAtLocation(program.getSourceFile(file)!)!
  return checker
    .getExportsOfModule(source)
    .filter(each => !each.declarations!.some(ts.isTypeOnlyExportDeclaration))
    .map(target)
    .filter(({ flags }) => flags & ts.SymbolFlags.Value)
}

const isClass = ({ flags }: ts.Symbol): boolean => (flags & ts.SymbolFlags.Class) !== 0
const classesOf = (file: string): ts.Symbol[] => valuesOf(file).filter(isClass)

/** The public members of a class or an interface, apart from those with a symbol as name, as `ThinPool.name`. */
function membersOf(symbol: ts.Symbol): Map<ts.Declaration, string> {
  const statics =
    symbol.flags & ts.SymbolFlags.Class ? checker.getPropertiesOfType(checker.getTypeOfSymbol(symbol)) : []
  const own = checker.getPropertiesOfType(checker.getDeclaredTypeOfSymbol(symbol))
  return new Map(
    [...statics, ...own]
      .filter(member => isPublic(member) && !member.name.startsWith('__@'))
      .map(member => [member.declarations![0]!, `${symbol.name}.${member.name}`]),
  )
}

/** The declarations to which names in the examples of a section refer, apart from the lines of imports. */
function usedIn(section: Section): Set<ts.Declaration> {
  const used = new Set<ts.Declaration>()
  const add = (symbol: ts.Symbol | undefined): void => {
    for (const each of (symbol && target(symbol).declarations) ?? []) used.add(each)
  }
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) return
    if (ts.isBindingElement(node) && ts.isObjectBindingPattern(node.parent)) {
      const name = node.propertyName ?? node.name
      if (ts.isIdentifier(name)) add(checker.getTypeAtLocation(node.parent).getProperty(name.text))
    } else if (ts.isIdentifier(node)) add(checker.getSymbolAtLocation(node))
    ts.forEachChild(node, visit)
  }
  visit(program.getSourceFile(fileOf(section))!)
  return used
}

test('the page has a section for each entry, in the order of the table at its start', () => {
  const entries = entryFiles.map(entryOf)
  expect(sections.map(({ entry }) => entry)).toEqual(entries)
  expect([...page.matchAll(/^\| \[`([^`]+)`\]/gm)].map(match => match[1])).toEqual(entries)
})

test('each example compiles against the library', () => {
  const problems = sections.flatMap(section => {
    const source = program.getSourceFile(fileOf(section))!
    const found = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)]
    return found.map(({ start, messageText }) => {
      const line = section.line + source.getLineAndCharacterOfPosition(start ?? 0).line
      return `${PAGE}:${line}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`
    })
  })
  expect(problems).toEqual([])
})

test('the examples use each function and constant that an entry exports', () => {
  const missing = entryFiles.flatMap((file, at) => {
    const used = usedIn(sections[at]!)
    return valuesOf(file)
      .filter(each => !isClass(each))
      .filter(({ valueDeclaration }) => !used.has(valueDeclaration!))
      .map(({ name }) => `${entryOf(file)}: ${name}`)
  })
  expect(missing).toEqual([])
})

test('the examples use each public member of each exported class, and of the memory kernel', () => {
  const used = sections.map(usedIn)
  const missing = entryFiles.flatMap((file, at) => {
    const source = checker.getSymbolAtLocation(program.getSourceFile(file)!)!
    const memory = checker.getExportsOfModule(source).filter(({ name }) => name === 'MemoryKernel')
    return [...classesOf(file), ...memory.map(target)].flatMap(each =>
      [...membersOf(each)].filter(([declaration]) => !used[at]!.has(declaration)).map(([, name]) => name),
    )
  })
  expect(missing).toEqual([])
})

test('the headings of one word are the classes of the entry, apart from `Targets`', () => {
  for (const [at, file] of entryFiles.entries()) {
    const classes = classesOf(file).map(({ name }) => name)
    expect(
      headingsOf(sections[at]!)
        .filter(name => name !== 'Targets')
        .sort(),
    ).toEqual(classes.sort())
  }
})
