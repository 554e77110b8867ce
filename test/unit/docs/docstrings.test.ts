// The form of docstrings: functions and methods begin with a verb in the third person (Returns, Attaches, Checks), getters
// and types with a noun phrase. Nothing begins with a clause that has no subject (What a pool has, Where it is).
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import ts from 'typescript'

const root = path.join(__dirname, '../../..')

/** The folders of lib that are checked. */
const FOLDERS = readdirSync(path.join(root, 'lib'))

const HEADLESS = /^(what|where|whose|who|whoever|whom|whether|how|which|when|why|if|of)\b/i
/** Words for "reports", "returns", "again" and "concurrently". */
const VAGUE = /\b(told|hears?|heard|gives|anew|meanwhile)\b/i
/** A word in -s, which is not the plural of "Options of" nor a pronoun. */
const VERB = /^(?!This\b|Its\b|As\b)([A-Z][a-z]*[^su\W]s)\b(?! (?:of|are|is)\b)/
/** A noun that is also a verb: "Calls on many volumes". */
const PLURAL = /^\w+s (of|on|by|in|and)\b/

type Kind = 'call' | 'getter' | 'type' | 'other'

interface Docstring {
  readonly where: string
  readonly kind: Kind
  readonly text: string
}

interface Source {
  readonly name: string
  readonly tree: ts.SourceFile
}

const parsed = (name: string, text: string): Source => ({
  name,
  tree: ts.createSourceFile(name, text, ts.ScriptTarget.Latest, true),
})

const sources = FOLDERS.flatMap(folder =>
  (readdirSync(path.join(root, 'lib', folder), { recursive: true }) as string[])
    .filter(name => name.endsWith('.ts'))
    .map(name => path.join('lib', folder, name))
    .map(name => parsed(name, readFileSync(path.join(root, name), 'utf8'))),
)

/** The text without the marks of a comment, and without tags such as `@internal` at its start. */
const plain = (comment: string): string =>
  comment
    .replace(/^\s*(\/\*\*?|\*\/|\*(?!\/)|\/\/)|\*\/\s*$/gm, '')
    .trim()
    .replace(/^(@\w+\s*)+/, '')

const hasModifier = (node: ts.Node, kind: ts.SyntaxKind): boolean =>
  ts.canHaveModifiers(node) && (ts.getModifiers(node)?.some(modifier => modifier.kind === kind) ?? false)

const isFunction = (node: ts.Node | undefined): boolean =>
  node !== undefined && (ts.isArrowFunction(node) || ts.isFunctionExpression(node))

function kindOf(node: ts.Node): Kind {
  if (ts.isFunctionDeclaration(node) || ts.isMethodDeclaration(node) || ts.isMethodSignature(node)) return 'call'
  if (ts.isVariableStatement(node)) {
    return isFunction(node.declarationList.declarations[0]?.initializer) ? 'call' : 'other'
  }
  if (ts.isGetAccessorDeclaration(node)) return 'getter'
  if (ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node) || ts.isClassDeclaration(node)) return 'type'
  return 'other'
}

/** The docstrings of what a file exports, and of all its members that are not private, at any depth. */
function docstringsOf({ name, tree }: Source): Docstring[] {
  const found: Docstring[] = []
  const add = (node: ts.Node): void => {
    const comment = ts.getLeadingCommentRanges(tree.text, node.getFullStart())?.at(-1)
    const text = comment ? tree.text.slice(comment.pos, comment.end) : ''
    if (!text.startsWith('/**') || plain(text) === '') return
    const { line } = tree.getLineAndCharacterOfPosition(node.getStart())
    found.push({ where: `${name}:${line + 1}`, kind: kindOf(node), text: plain(text) })
  }
  const visit = (node: ts.Node): void => {
    if (ts.isBlock(node) || hasModifier(node, ts.SyntaxKind.PrivateKeyword)) return
    if (ts.isClassElement(node) || ts.isTypeElement(node)) {
      if (node.name && ts.isPrivateIdentifier(node.name)) return
      add(node)
    }
    node.forEachChild(visit)
  }
  for (const statement of tree.statements) {
    if (!hasModifier(statement, ts.SyntaxKind.ExportKeyword)) continue
    add(statement)
    if (!ts.isVariableStatement(statement)) statement.forEachChild(visit)
  }
  return found
}

const docstrings = sources.flatMap(docstringsOf)
const of = (...kinds: Kind[]): Docstring[] => docstrings.filter(({ kind }) => kinds.includes(kind))
/** The first lines of the files. Those of entries are docstrings of modules. */
const headers: readonly Docstring[] = sources
  .filter(({ tree }) => tree.text.startsWith('//'))
  .map(({ name, tree }) => ({ where: name, kind: 'other', text: plain(tree.text.split('\n')[0]!) }))
const shown = (found: readonly Docstring[]): string[] =>
  found.map(({ where, text }) => `${where}: ${text.slice(0, 80)}`)
const beginsWithVerb = ({ text }: Docstring): boolean => VERB.test(text)

/** The verbs that docstrings of functions and methods begin with. */
const verbs = new Set(
  of('call')
    .filter(beginsWithVerb)
    .map(({ text }) => text.split(' ')[0]!),
)

/** All comments of a file; each `//` line is one of its own. */
function commentsOf({ name, tree }: Source): string[] {
  const found = new Map<number, string>()
  const visit = (node: ts.Node): void => {
    const leading = ts.getLeadingCommentRanges(tree.text, node.getFullStart()) ?? []
    const trailing = ts.getTrailingCommentRanges(tree.text, node.end) ?? []
    for (const { pos, end } of [...leading, ...trailing]) found.set(pos, plain(tree.text.slice(pos, end)))
    node.getChildren(tree).forEach(visit)
  }
  visit(tree)
  return [...found.values()].map(text => `${name}: ${text}`)
}

test('the form of a docstring is recognized', () => {
  const text = [
    '/** Returns it. */\nexport function a() {}',
    '/**\n * What is there.\n */\nexport const b = () => 1',
    '/** A pool. */\nexport class C {\n  /** @internal Checks it. */\n  check() {}\n  /** Its name. */\n  get name() { return 1 }\n}',
    '/** Returns it. */\nfunction notExported() {}',
    'export type D = {\n  /** Where it is. */\n  a: {\n    /** Its size. */\n    b: number\n  }\n}',
  ].join('\n')
  const found = docstringsOf(parsed('example.ts', text))
  expect(found.map(({ kind, text: doc }) => [kind, doc])).toEqual([
    ['call', 'Returns it.'],
    ['call', 'What is there.'],
    ['type', 'A pool.'],
    ['call', 'Checks it.'],
    ['getter', 'Its name.'],
    ['other', 'Where it is.'],
    ['other', 'Its size.'],
  ])
  expect(found.map(beginsWithVerb)).toEqual([true, false, false, true, false, false, false])
  expect(found.map(({ text: doc }) => HEADLESS.test(doc))).toEqual([false, true, false, false, false, true, false])
  for (const noun of ['Options of it', 'Status of it', 'This pool', 'Address of it'])
    expect(VERB.test(noun)).toBe(false)
})

test('each exported function and each public method begins with a verb in the third person', () => {
  expect(of('call').length).toBeGreaterThan(300)
  expect(shown(of('call').filter(each => !beginsWithVerb(each)))).toEqual([])
})

test('getters, types, classes and headers of files begin with a noun phrase', () => {
  expect(of('getter', 'type').length).toBeGreaterThan(200)
  expect(headers.length).toBeGreaterThan(100)
  const nouns = [...of('getter', 'type'), ...headers]
  expect(shown(nouns.filter(({ text }) => verbs.has(text.split(' ')[0]!) && !PLURAL.test(text)))).toEqual([])
})

test('no docstring and no header of a file begins with a clause without a subject', () => {
  expect(shown([...docstrings, ...headers].filter(({ text }) => HEADLESS.test(text)))).toEqual([])
})

test('comments contain none of the words for which "reports", "returns" and "again" stand', () => {
  expect(sources.flatMap(commentsOf).filter(comment => VAGUE.test(comment))).toEqual([])
})

/** The folders of native whose comments have the form of those of lib. */
const NATIVE = ['block', 'dm', 'fs', 'metadata', 'system', 'threads', 'tree']
/** Declarations that are not calls although they contain a parenthesis. */
const NOT_A_CALL = /^(struct|class|enum|using|#define|(static |inline )?constexpr)\b/

/** The comments with three slashes of a file, each with the line that it describes. */
function nativeDocs(where: string, text: string): Docstring[] {
  const found = text.matchAll(/^ *\/\/\/ ((?:.*\n *\/\/\/ ?)*.*)\n *(.*)$/gm)
  return [...found].map(([, doc, declaration]) => ({
    where,
    kind: /\w\(/.test(declaration!) && !NOT_A_CALL.test(declaration!) ? 'call' : 'other',
    text: doc!.replace(/\n *\/\/\/ ?/g, ' '),
  }))
}

const nativeFiles = NATIVE.flatMap(folder =>
  readdirSync(path.join(root, 'native', folder)).map(name => path.join('native', folder, name)),
).map(name => ({ name, text: readFileSync(path.join(root, name), 'utf8') }))
const inNative = nativeFiles.flatMap(({ name, text }) => nativeDocs(name, text))

test('each function of native begins with a verb in the third person, and no comment there without a subject', () => {
  const example =
    '/// Returns it,\n/// or not.\nint a();\n/// What it is.\nstruct B {\n  /// The size.\n  int size() const;\n'
  expect(nativeDocs('', example).map(({ kind, text }) => [kind, text])).toEqual([
    ['call', 'Returns it, or not.'],
    ['other', 'What it is.'],
    ['call', 'The size.'],
  ])
  expect(inNative.length).toBeGreaterThan(400)
  const wrong = inNative.filter(each => (each.kind === 'call' ? !beginsWithVerb(each) : HEADLESS.test(each.text)))
  expect(shown(wrong)).toEqual([])
})

test('comments of native contain none of the words that pages do not use', () => {
  const vague = /\b(told|tells|hears?|heard|anew|meanwhile|mostly)\b|\blets? go\b|\b(has|have) not\b[,.]/i
  const comments = nativeFiles.flatMap(({ name, text }) =>
    [...text.matchAll(/\/\/.*/g)].map(([line]) => `${name}: ${line}`),
  )
  expect(comments.filter(comment => vague.test(comment))).toEqual([])
})
