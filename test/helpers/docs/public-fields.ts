// The fields of what the package exports: properties and methods of interfaces, classes and object types, also of those
// that are written within another type or a parameter, and the unions of literals.
import ts from 'typescript'

export interface Field {
  /** The way to it: `PoolStatusBase.lowWaterMark.bytes`, `MemoryKernel.fill(options).leaveBlocks`. */
  readonly path: string
  /** The description of its own declaration; empty if it has none. */
  readonly own: string
  /** True for an option with a value: neither required, nor a signal or a function, nor `never`. */
  readonly needsDefault: boolean
  /** True for a method or getter whose result is a promise. */
  readonly isAsync: boolean
}

export interface LiteralUnion {
  /** The field or type that the union belongs to. */
  readonly path: string
  readonly own: string
  readonly literals: readonly string[]
}

export interface PublicFields {
  readonly fields: readonly Field[]
  readonly unions: readonly LiteralUnion[]
}

type FieldNode =
  ts.PropertySignature | ts.PropertyDeclaration | ts.MethodSignature | ts.MethodDeclaration | ts.GetAccessorDeclaration

const isField = (node: ts.Node): node is FieldNode =>
  ts.isPropertySignature(node) ||
  ts.isPropertyDeclaration(node) ||
  ts.isMethodSignature(node) ||
  ts.isMethodDeclaration(node) ||
  ts.isGetAccessorDeclaration(node)

const HIDDEN = ts.ModifierFlags.Private | ts.ModifierFlags.Protected

function isHidden(node: ts.Declaration): boolean {
  const name = ts.getNameOfDeclaration(node)
  if (name !== undefined && ts.isPrivateIdentifier(name)) return true
  if (ts.getCombinedModifierFlags(node) & HIDDEN) return true
  return ts.getJSDocTags(node).some(tag => tag.tagName.text === 'internal' || tag.tagName.text === 'hidden')
}

const docOf = (node: ts.Node): string =>
  ts
    .getJSDocCommentsAndTags(node)
    .filter(ts.isJSDoc)
    .map(each => ts.getTextOfJSDocComment(each.comment) ?? '')
    .join('\n')
    .trim()

const literalsOf = (node: ts.Node): string[] => {
  if (!ts.isUnionTypeNode(node)) return []
  const found = node.types.map(type => (ts.isLiteralTypeNode(type) ? type.literal : undefined))
  return found.every(literal => literal && ts.isStringLiteral(literal))
    ? found.map(each => (each as ts.StringLiteral).text)
    : []
}

const OPTIONS = /^\w+(Options|Features|Table|Filter|Log)\.\w+$/

function needsDefault(node: FieldNode, path: string): boolean {
  const type = ts.isPropertySignature(node) && node.questionToken ? node.type : undefined
  if (type === undefined || ts.isFunctionTypeNode(type) || type.kind === ts.SyntaxKind.NeverKeyword) return false
  return OPTIONS.test(path) && !type.getText().includes('AbortSignal')
}

const isAsync = (node: FieldNode): boolean =>
  !ts.isPropertySignature(node) && !ts.isPropertyDeclaration(node) && /^Promise\b/.test(node.type?.getText() ?? '')

/** Returns the public fields and unions of a declaration that is exported as `name`. */
export function publicFields(name: string, declaration: ts.Declaration): PublicFields {
  const fields: Field[] = []
  const unions: LiteralUnion[] = []
  const visit = (node: ts.Node, path: string, own: string): void => {
    if (ts.isBlock(node) || ts.isTypeReferenceNode(node) || ts.isTypeParameterDeclaration(node)) return
    if (ts.isExpressionWithTypeArguments(node) || (ts.isConstructorDeclaration(node) && isHidden(node))) return
    if (isField(node)) {
      if (isHidden(node)) return
      path = `${path}.${node.name.getText()}`
      own = docOf(node)
      fields.push({ path, own, needsDefault: needsDefault(node, path), isAsync: isAsync(node) })
    } else if (ts.isParameter(node)) path = `${path}(${node.name.getText()})`
    const literals = literalsOf(node)
    if (literals.length > 0) unions.push({ path, own, literals })
    const initializer = ts.isParameter(node) || ts.isPropertyDeclaration(node) ? node.initializer : undefined
    node.forEachChild(child => {
      if (child !== initializer) visit(child, path, own)
    })
  }
  const own = docOf(ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration)
  const value = ts.isVariableDeclaration(declaration) ? declaration.initializer : undefined
  if (value === undefined) declaration.forEachChild(child => visit(child, name, own))
  else if (ts.isArrowFunction(value)) value.parameters.forEach(parameter => visit(parameter, name, own))
  return { fields, unions }
}
