// Every program of the pages is plain JavaScript that compiles against the library; those of the README are examples.
// test/examples/docs-code.test.ts runs them.
import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import ts from 'typescript'
import { blocksOf, pages, programs, writePrograms } from '../../helpers/docs/code.js'

const root = path.join(__dirname, '../../..')
const folder = path.join(root, '.cache/docs-code/unit')
const read = (file: string): string => readFileSync(path.join(root, file), 'utf8')
const blocks = programs()
let files: string[] = []

beforeAll(() => {
  rmSync(folder, { recursive: true, force: true })
  files = writePrograms(blocks, folder)
})

test('the pages contain programs, and none in TypeScript', () => {
  expect(blocks.length).toBeGreaterThan(40)
  const guides = pages.filter(page => page !== 'docs/api-at-a-glance.md') // its examples are no programs
  expect(guides.flatMap(page => blocksOf(page, '(?:ts|typescript|mts)'))).toEqual([])
})

test('each program compiles against the library', () => {
  const { config } = ts.readConfigFile(path.join(root, 'tsconfig.json'), name => readFileSync(name, 'utf8')) as {
    config: { compilerOptions: object }
  }
  const { options } = ts.convertCompilerOptionsFromJson(
    {
      ...config.compilerOptions,
      rootDir: '.',
      allowJs: true,
      checkJs: true,
      noImplicitAny: false,
      noUncheckedIndexedAccess: false,
      strictNullChecks: false,
      strictFunctionTypes: false,
      noEmit: true,
      declaration: false,
      noUnusedLocals: false,
      paths: { 'dm-thin': ['./lib/entry/index.ts'], 'dm-thin/*': ['./lib/entry/*.ts'] },
    },
    root,
  )
  const program = ts.createProgram(files, options)
  // Of the programs alone: whether the library compiles is not asked here.
  const diagnostics = files.flatMap(name => {
    const source = program.getSourceFile(name)
    return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)]
  })
  const problems = diagnostics.map(({ file, start, messageText }) => {
    const { page, line } = blocks[files.indexOf(file!.fileName)]!
    const at = line + file!.getLineAndCharacterOfPosition(start ?? 0).line - 1
    return `${page}:${at}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`
  })
  expect(problems).toEqual([])
})

test('the Node that runs the tests can parse each program', () => {
  const parse = `const { SourceTextModule } = require('node:vm'); const { readFileSync } = require('node:fs')
    for (const file of process.argv.slice(1)) new SourceTextModule(readFileSync(file, 'utf8'), { identifier: file })`
  const flags = ['--experimental-vm-modules', '--no-warnings', '-e', parse]
  const { status, stderr } = spawnSync(process.execPath, [...flags, ...files], { encoding: 'utf8' })
  expect(stderr).toBe('')
  expect(status).toBe(0)
})

test('the programs of the README are those of the examples and have at most 12 lines', () => {
  const examples = ['first-lines', 'first-layers'].map(name => read(`examples/${name}/${name}.mts`))
  const code = programs('README.md').map(block => block.code)
  expect(code).toEqual(examples.map(text => text.replace(/^\/\/.*\n/, '')))
  for (const each of code) expect(each.split('\n').filter(line => line !== '').length).toBeLessThanOrEqual(12)
})
