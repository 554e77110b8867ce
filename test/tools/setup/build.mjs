// Dependencies and builds, each done only when it is stale.
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { nodeDirectory } from './needs.mjs'
import { hashOf, isFresh, setStamp, withLock } from './stamps.mjs'
import { quietly, repository, SetupError, step, together } from './steps.mjs'

/**
 * @typedef {{ name: string, title: string, command: string[], script?: string, inputs: string[], extra?: string[],
 *   results: string[], hint?: string, env?: Record<string, string>, beside?: boolean, before?: () => void, unless?: () => boolean }} Build
 *
 * `beside`: needs the packages and nothing else. `unless`: is not needed then.
 */

const [nodeMajor, nodeMinor] = process.versions.node.split('.').map(Number)
const NATIVE_INPUTS = ['native', 'package-lock.json']
const scriptHint = script => `Please see to the above, then repeat the command. This step alone: npm run ${script}`

/** @type {Record<string, Build>} */
const BUILDS = {
  modules: {
    name: 'modules',
    title: 'npm packages that package-lock.json names, into node_modules (npm ci)',
    command: ['npm', 'ci', '--ignore-scripts', '--no-audit', '--no-fund'],
    inputs: ['package-lock.json'],
    results: ['node_modules/.package-lock.json'],
    hint:
      'If the package registry cannot be reached, nothing can be installed: please see to the connection (or to ' +
      'npm\'s "registry" and "proxy" settings), then repeat the command. This step alone: npm ci --ignore-scripts',
  },
  runtimes: {
    name: 'runtimes',
    title: 'each supported Node, for the lifecycle tests, into test/runtimes (npm ci)',
    command: ['npm', 'ci', '--prefix', 'test/runtimes', '--ignore-scripts', '--no-audit', '--no-fund'],
    inputs: ['test/runtimes/package-lock.json'],
    results: ['test/runtimes/node_modules/.package-lock.json'],
    beside: true,
    hint: 'Please see to the above, then repeat the command. This step alone: npm ci --prefix test/runtimes',
  },
  // The binary that ships is the one that is tested. A build by hand in build/ would be loaded before it.
  native: {
    ...prebuilt(process.arch),
    before: () => rmSync(join(repository, 'build'), { recursive: true, force: true }),
  },
  arm64: { ...prebuilt('arm64'), beside: true },
  sqlite: {
    name: 'sqlite',
    title: 'SQLite for this Node (node-gyp), which has none of its own',
    unless: () => nodeMajor > 22 || (nodeMajor === 22 && nodeMinor >= 16),
    command: ['node_modules/.bin/node-gyp', 'rebuild', '--release', '-C', 'node_modules/better-sqlite3'],
    // Its full optimization takes four times as long and saves the tests nothing.
    env: { CFLAGS: '-O1', CXXFLAGS: '-O1' },
    inputs: ['package-lock.json'],
    extra: [String(nodeMajor), process.arch],
    results: ['node_modules/better-sqlite3/build/Release/better_sqlite3.node'],
    beside: true,
    hint: 'Please see to the above, then repeat the command.',
  },
  fault: {
    ...scripted('build:fault', 'native part with fault hooks (cmake)'),
    inputs: [...NATIVE_INPUTS, 'CMakeLists.txt', 'binding.gyp'],
    extra: [String(nodeMajor), process.arch],
    results: ['build-fault'],
  },
  asan: {
    ...scripted('build:asan', 'native part with ASan and UBSan (cmake)'),
    inputs: [...NATIVE_INPUTS, 'CMakeLists.txt', 'binding.gyp'],
    extra: [String(nodeMajor), process.arch],
    results: ['build-asan'],
  },
  typescript: {
    ...scripted('build:ts', 'TypeScript'),
    inputs: ['lib', 'tsconfig.json', 'rollup.config.mjs', 'package.json', 'package-lock.json'],
    results: ['dist/entry/index.js'],
  },
  oneFile: {
    name: 'one-file',
    title: 'the library and the helpers of the tests as one file, for guests',
    command: [process.execPath, 'test/tools/runner/one-file.cjs'],
    inputs: [
      'lib',
      'test/helpers',
      'test/contract',
      'test/tools/runner/one-file.cjs',
      'test/tools/runner/transform.cjs',
      'package-lock.json',
    ],
    results: ['.cache/one-file.json'],
  },
  examples: {
    ...scripted('build:examples', 'examples'),
    inputs: ['examples', 'lib', 'tsconfig.json', 'package-lock.json'],
    results: ['dist-examples'],
  },
}

/** @param {string} arch @returns {Build} */
function prebuilt(arch) {
  return {
    name: `binary-${arch}`,
    title: `binary for ${arch} (prebuildify)`,
    script: 'prebuild',
    command: [process.execPath, 'test/tools/prebuild.mjs', '--if-stale', arch],
    inputs: ['native', 'binding.gyp', 'package-lock.json', 'test/tools/prebuild.mjs'],
    results: [`prebuilds/linux-${arch}/dm-thin.glibc.node`],
    hint: `Please see to the above, then repeat the command. This step alone: npm run prebuild -- ${arch}`,
  }
}

/** @param {string} script @param {string} title */
function scripted(script, title) {
  return { name: script.replace(':', '-'), title, script, command: ['npm', 'run', script], hint: scriptHint(script) }
}

/**
 * @param {(keyof typeof BUILDS)[]} names in the order in which they depend on each other
 */
export async function ensureBuilt(names) {
  const stale = () =>
    names.map(name => BUILDS[name]).filter(build => hasScript(build) && !build.unless?.() && !fresh(build))
  if (stale().length === 0) return
  await withLock('builds', async () => {
    await inTurn(stale().filter(({ name }) => name === 'modules'))
    const rest = stale()
    await together([inTurn(rest.filter(({ beside }) => !beside)), inTurn(rest.filter(({ beside }) => beside))])
  })
}

/** @param {Build[]} builds */
async function inTurn(builds) {
  for (const build of builds) {
    const hash = hashNow(build)
    build.before?.()
    await step(build.title, () =>
      quietly(build.command, { env: { ...buildEnvironment(), ...build.env }, hint: build.hint }),
    )
    setStamp(build.name, hash)
    // Sources edited during the build leave the stamp stale, and the next command builds again.
    if (!build.results.every(path => existsSync(join(repository, path))))
      throw new SetupError(`"${build.command.join(' ')}" succeeded without making ${build.results}`)
  }
}

/** node-gyp and cmake-js take Node's headers from here and fetch none; both use one processor if not told otherwise. */
export function buildEnvironment() {
  const nodedir = nodeDirectory()
  const jobs = String(availableParallelism())
  return { JOBS: jobs, CMAKE_BUILD_PARALLEL_LEVEL: jobs, ...(nodedir !== undefined && { npm_config_nodedir: nodedir }) }
}

const hashNow = build => hashOf(build.inputs, [...(build.extra ?? []), ...build.command])

/** An install by hand (npm install, npm ci) needs no stamp: npm keeps a list of what it installed. */
function fresh(build) {
  const hash = hashNow(build)
  if (isFresh(build.name, hash, build.results)) return true
  if (build.name !== 'modules' || !installedAsLocked()) return false
  setStamp(build.name, hash)
  return true
}

function installedAsLocked() {
  try {
    const read = path => JSON.parse(readFileSync(join(repository, path), 'utf8')).packages
    const locked = read('package-lock.json')
    const installed = read('node_modules/.package-lock.json')
    return Object.entries(locked).every(
      ([path, entry]) => path === '' || entry.optional || installed[path]?.version === entry.version,
    )
  } catch {
    return false
  }
}

function hasScript(build) {
  if (build.script === undefined) return true
  return build.script in JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')).scripts
}
