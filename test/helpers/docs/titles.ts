// Titles of tests and suites, and of the cases of the contract, read from the source of the tests.
import { readFileSync } from 'node:fs'
import ts from 'typescript'

export interface Title {
  /** The line of the file. */
  readonly line: number
  readonly text: string
  readonly kind: 'suite' | 'test' | 'case'
  /** The titles of the suites that contain it, outermost first. */
  readonly suites: readonly string[]
}

/** The function that a call such as `test.each(cases)(title, run)` begins with. */
function rootOf(expression: ts.Expression): string | undefined {
  let node = expression
  while (ts.isCallExpression(node) || ts.isPropertyAccessExpression(node)) node = node.expression
  return ts.isIdentifier(node) ? node.text : undefined
}

/** The text of a string literal, with `%s` in place of each expression of a template. */
function textOf(node: ts.Node | undefined): string | undefined {
  if (node === undefined) return undefined
  if (ts.isStringLiteralLike(node)) return node.text
  if (!ts.isTemplateExpression(node)) return undefined
  return node.head.text + node.templateSpans.map(span => `%s${span.literal.text}`).join('')
}

/** Whether an object is a case of the contract, which has a title and a function to run. */
const isCase = (node: ts.ObjectLiteralExpression): boolean =>
  node.properties.some(each => each.name?.getText() === 'run')

/** Returns the titles of a source file, in their order. */
export function titlesIn(source: string): Title[] {
  const tree = ts.createSourceFile('test.ts', source, ts.ScriptTarget.Latest, true)
  const found: Title[] = []
  const add = (node: ts.Node, text: string, kind: Title['kind'], suites: readonly string[]): void => {
    found.push({ line: tree.getLineAndCharacterOfPosition(node.getStart()).line + 1, text, kind, suites })
  }
  const visit = (node: ts.Node, suites: readonly string[]): void => {
    let within = suites
    if (ts.isCallExpression(node) && node.arguments.length > 1) {
      const [first] = node.arguments
      const [root, text] = [rootOf(node.expression), textOf(first)]
      if (text !== undefined && (root === 'test' || root === 'it')) add(first!, text, 'test', suites)
      if (text !== undefined && root === 'describe') {
        add(first!, text, 'suite', suites)
        within = [...suites, text]
      }
    }
    if (ts.isPropertyAssignment(node) && node.name.getText() === 'title' && isCase(node.parent)) {
      const text = textOf(node.initializer)
      if (text !== undefined) add(node, text, 'case', suites)
    }
    ts.forEachChild(node, child => visit(child, within))
  }
  visit(tree, [])
  return found
}

/** Returns the titles of a file, in their order. */
export const titlesOf = (file: string): Title[] => titlesIn(readFileSync(file, 'utf8'))
