// What the entries of the package export, as the compiler knows it: an independent check of the pages of typedoc.
import path from 'node:path'
import ts from 'typescript'
import { publicFields, type PublicFields } from './public-fields'

export const root = path.join(__dirname, '../../..')
const { entryPoints } = ts.readConfigFile(path.join(root, 'typedoc.json'), name => ts.sys.readFile(name)).config as {
  entryPoints: string[]
}

/** The source of each entry, in the order of the documentation. */
export const entryFiles: readonly string[] = entryPoints.map(file => path.join(root, file))

/** Returns the name of an entry by its source: `dm-thin/kernel`. */
export const entryOf = (file: string): string => /@module (\S+)/.exec(ts.sys.readFile(file)!)![1]!

/** Returns the options with which the compiler reads the library. */
export function libraryOptions(): ts.CompilerOptions {
  const { config } = ts.readConfigFile(path.join(root, 'tsconfig.json'), name => ts.sys.readFile(name)) as {
    config: unknown
  }
  return ts.parseJsonConfigFileContent(config, ts.sys, root).options
}

export interface Member {
  /** As a heading has it: `activate`, `[asyncDispose]`. */
  readonly name: string
  /** The docstring of its own declaration. Empty if it has none, even where a base has one. */
  readonly own: string
  readonly method: boolean
  /** Whether a base declares it. */
  readonly inherited: boolean
}

export interface Exported extends PublicFields {
  readonly name: string
  readonly entry: string
  readonly own: string
  readonly isClass: boolean
  /** Of a class or an interface. */
  readonly members: readonly Member[]
}

/** Each entry with what it exports. What two of them export is in both, and is the same object. */
export function publicApi(): Map<string, Exported[]> {
  const program = ts.createProgram(entryFiles, libraryOptions())
  const checker = program.getTypeChecker()
  const seen = new Map<ts.Symbol, Exported>()
  return new Map(
    entryFiles.map(file => {
      const source = program.getSourceFile(file)!
      const entry = entryOf(file)
      const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(source)!).map(each => {
        const symbol = each.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(each) : each
        const known = seen.get(symbol)
        if (known) return known
        const typeOnly = each.declarations!.some(ts.isTypeOnlyExportDeclaration)
        const made = describeExport(checker, symbol, entry, typeOnly)
        seen.set(symbol, made)
        return made
      })
      return [entry, exported]
    }),
  )
}

const ownText = (symbol: ts.Symbol): string => ts.displayPartsToString(symbol.getDocumentationComment(undefined)).trim()

function describeExport(checker: ts.TypeChecker, symbol: ts.Symbol, entry: string, typeOnly: boolean): Exported {
  const isClass = (symbol.flags & ts.SymbolFlags.Class) !== 0 && !typeOnly
  const statics = isClass ? checker.getPropertiesOfType(checker.getTypeOfSymbol(symbol)) : []
  const declared = symbol.flags & (ts.SymbolFlags.Class | ts.SymbolFlags.Interface)
  const properties = declared ? checker.getPropertiesOfType(checker.getDeclaredTypeOfSymbol(symbol)) : []
  const constructors = isClass ? [symbol.members!.get(ts.InternalSymbolName.Constructor)] : []
  const members = [...constructors, ...statics, ...properties]
    .filter(each => each !== undefined && isPublic(each))
    .map(each => ({
      name: nameOf(each!),
      own: ownText(each!),
      method: (each!.flags & ts.SymbolFlags.Method) !== 0,
      inherited: each!.declarations![0]!.parent !== symbol.declarations![0],
    }))
  const { fields, unions } = fieldsOf(symbol)
  return { name: symbol.name, entry, own: ownText(symbol), isClass, members, fields, unions }
}

const fieldsOf = ({ name, declarations = [] }: ts.Symbol): PublicFields => {
  const found = declarations.map(each => publicFields(name, each))
  return { fields: found.flatMap(({ fields }) => fields), unions: found.flatMap(({ unions }) => unions) }
}

/** Returns true if a member is not private or protected, not for this library alone, and not of a base of Node's. */
export function isPublic(symbol: ts.Symbol): boolean {
  const declaration = symbol.declarations?.[0]
  if (declaration === undefined || declaration.getSourceFile().fileName.includes('/node_modules/')) return false
  const hidden = ts.ModifierFlags.Private | ts.ModifierFlags.Protected
  if (ts.getCombinedModifierFlags(declaration) & hidden) return false
  const name = ts.getNameOfDeclaration(declaration)
  if (name !== undefined && ts.isPrivateIdentifier(name)) return false
  return !symbol.getJsDocTags().some(tag => tag.name === 'internal' || tag.name === 'hidden')
}

const nameOf = ({ name }: ts.Symbol): string =>
  name === '__constructor' ? 'Constructor' : name.replace(/^__@(\w+)@\d+$/, '[$1]')
