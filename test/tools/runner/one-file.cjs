// A transformer for jest that gives tests the library and their helpers as one file. In a guest each module that jest
// resolves, reads and compiles by itself costs system calls, of which a guest's are slow: with 200 modules that is more
// than a second for each test file.
//
// Each module is replaced by one line that asks test/tools/runner/modules.cjs for it; that file is replaced by all modules,
// compiled by swc as jest would do it. Run as a program, this file compiles them into .cache/one-file.json, where guests
// take them from: emulated, that takes minutes. Elsewhere they are compiled anew if a module has changed.
'use strict'

const { createHash } = require('node:crypto')
const { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } = require('node:fs')
const path = require('node:path')
const { transformSync } = require('@swc/core')
const usual = require('./transform.cjs')

const root = path.join(__dirname, '../../..')
const entry = path.join(__dirname, 'modules.cjs')
const compiled = path.join(root, '.cache/one-file.json')
const FOLDERS = ['lib', 'test/helpers', 'test/contract']
const { CONSTANTS, jsc } = usual

const isModule = file => file.endsWith('.ts') && !file.endsWith('.d.ts') && !file.endsWith('.test.ts')

/** Paths from the root of the project, of all modules. */
function modules() {
  const inFolder = folder => readdirSync(path.join(root, folder), { recursive: true }).map(name => `${folder}/${name}`)
  return FOLDERS.flatMap(inFolder).filter(isModule).sort()
}

function compile(file) {
  const filename = path.join(root, file)
  /** @type {import('@swc/core').Options} */
  const options = { filename, jsc, module: { type: 'commonjs' }, sourceMaps: true, swcrc: false }
  const text = readFileSync(filename, 'utf8').replace(/^#!/, '//')
  return transformSync(text, options)
}

const START = `${CONSTANTS}
const { join } = require('node:path')
const ROOT = join(__dirname, '../../../')
const made = new Map()
function load(file) {
  const known = made.get(file)
  if (known) return known.exports
  const module = { exports: {} }
  made.set(file, module)
  const filename = ROOT + file
  const dirname = filename.slice(0, filename.lastIndexOf('/'))
  modules[file](module, module.exports, wanted => find(dirname, wanted), filename, dirname)
  return module.exports
}
function find(dirname, wanted) {
  const own = /^dm-thin(?:\\/(.*))?$/.exec(wanted)
  if (own) return load('lib/entry/' + (own[1] ?? 'index') + '.ts')
  if (!wanted.startsWith('.')) return require(wanted)
  const filename = join(dirname, wanted)
  const file = filename.slice(ROOT.length).replace(/(\\.js)?$/, '.ts')
  return file in modules ? load(file) : require(filename)
}
module.exports = load
const modules = {
`

const linesIn = text => text.split('\n').length - 1

/** All modules, and their source maps one below the other. */
function bundle() {
  const parts = [START]
  let line = linesIn(parts[0])
  const sections = []
  for (const file of modules()) {
    const { code, map } = compile(file)
    const parsed = JSON.parse(/** @type {string} */ (map))
    sections.push({
      offset: { line: line + 1, column: 0 },
      map: { ...parsed, sources: [path.join(root, file)], file },
    })
    const part = `${JSON.stringify(file)}(module, exports, require, __filename, __dirname) {\n${code}\n},\n`
    parts.push(part)
    line += linesIn(part)
  }
  return { code: `${parts.join('')}}\n`, map: { version: 3, sections } }
}

/** @type {boolean | undefined} */
let isFresh

/** Returns true in a guest if the modules were compiled before, and none has changed since. */
function isCompiled() {
  if (process.env.DM_THIN_GUEST !== '1' || !existsSync(compiled)) return false
  const since = statSync(compiled).mtimeMs
  return (isFresh ??= modules().every(name => statSync(path.join(root, name)).mtimeMs <= since))
}

/** Compiles all modules. Another run may be doing the same, and guests may read the file. */
function compileAll() {
  mkdirSync(path.dirname(compiled), { recursive: true })
  writeFileSync(`${compiled}.${process.pid}`, JSON.stringify(bundle()))
  renameSync(`${compiled}.${process.pid}`, compiled)
}

module.exports = {
  process(text, file, options) {
    if (file === entry) return isCompiled() ? JSON.parse(readFileSync(compiled, 'utf8')) : bundle()
    const name = path.relative(root, file)
    if (isModule(name) && FOLDERS.some(folder => name.startsWith(`${folder}/`))) {
      return { code: `module.exports = require(${JSON.stringify(entry)})(${JSON.stringify(name)})` }
    }
    return usual.process(text, file, options)
  },

  getCacheKey(text, file, { configString }) {
    const hash = createHash('sha256').update(configString).update(file).update(text)
    for (const own of [__filename, require.resolve('./transform.cjs')]) hash.update(readFileSync(own))
    if (file !== entry) return hash.digest('hex').slice(0, 32)
    for (const name of isCompiled() ? ['.cache/one-file.json'] : modules()) {
      const { mtimeMs, size } = statSync(path.join(root, name))
      hash.update(`${name} ${mtimeMs} ${size}\n`)
    }
    return hash.digest('hex').slice(0, 32)
  },
}

if (require.main === module) compileAll()
