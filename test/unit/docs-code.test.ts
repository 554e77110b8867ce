// Every block of code that a page marks as ts compiles against the library, and the README's is an example that runs.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import ts from 'typescript'

const root = path.join(__dirname, '../..')
const folder = path.join(root, '.cache/docs-code')
const read = (file: string): string => readFileSync(path.join(root, file), 'utf8')
const inFolder = (name: string): string[] =>
  readdirSync(path.join(root, name))
    .filter(file => file.endsWith('.md'))
    .map(file => path.join(name, file))

interface Block {
  readonly page: string
  readonly line: number
  readonly code: string
}

const blocks: Block[] = [...inFolder('.'), ...inFolder('docs')].flatMap(page => {
  const text = read(page)
  return [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(match => ({
    page,
    line: text.slice(0, match.index).split('\n').length + 1,
    code: match[1]!,
  }))
})

/** A block may go on where the reader is: with a pool and a volume at hand. */
function given(code: string): string {
  const declares = (name: string) => new RegExp(`\\b(const|let|using) ${name}\\b`).test(code)
  const lines = ["import type * as library from 'dm-thin'"]
  if (!declares('pool')) lines.push('declare const pool: library.ThinPool')
  if (!declares('volume')) lines.push('declare const volume: library.ThinVolume')
  return `${lines.join('; ')}\n`
}

test('blocks marked ts compile', () => {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const files = blocks.map((block, index) => {
    const file = path.join(folder, `block-${index}.mts`)
    writeFileSync(file, given(block.code) + block.code)
    return file
  })
  const { config } = ts.readConfigFile(path.join(root, 'tsconfig.json'), name => readFileSync(name, 'utf8')) as {
    config: { compilerOptions: object }
  }
  const { options } = ts.convertCompilerOptionsFromJson(
    {
      ...config.compilerOptions,
      rootDir: '.',
      noEmit: true,
      declaration: false,
      noUnusedLocals: false,
      paths: { 'dm-thin': ['./lib/entry/index.ts'], 'dm-thin/*': ['./lib/entry/*.ts'] },
    },
    root,
  )
  const program = ts.createProgram(files, options)
  // Of the blocks alone: whether the library compiles is not asked here.
  const diagnostics = files.flatMap(name => {
    const source = program.getSourceFile(name)
    return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)]
  })
  const problems = diagnostics.map(({ file, start, messageText }) => {
    const { page, line } = blocks[files.indexOf(file!.fileName)]!
    const at = line + file!.getLineAndCharacterOfPosition(start ?? 0).line - 1
    return `${page}:${at}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`
  })
  expect(blocks.length).toBeGreaterThan(10)
  expect(problems).toEqual([])
})

/** What the oldest Node that is supported can run, of at most 12 lines. */
test('the code of the README is that of examples, which the tests run', () => {
  const examples = ['first-lines', 'first-layers'].map(name => read(`examples/${name}/${name}.mts`))
  const code = blocks.filter(({ page }) => page === 'README.md').map(block => block.code)
  expect(code).toEqual(examples.map(text => text.replace(/^\/\/.*\n/, '')))
  for (const each of code)
    expect(
      each
        .trim()
        .split('\n')
        .filter(line => line !== '').length,
    ).toBeLessThanOrEqual(12)
})
