// The binaries that the package ships, for x64 and arm64, one of them by a cross compiler:
//
//   node test/tools/prebuild.mjs [--if-stale] [x64] [arm64]
//
// Built in a copy of the package, so that the work tree's own build/ stays as its developer left it.
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { buildEnvironment } from './setup/build.mjs'
import { hashOf, isFresh, setStamp, withLock } from './setup/stamps.mjs'
import { quietly, repository, say, SetupError, step } from './setup/steps.mjs'

/** The oldest Node that the package is for. Without it prebuildify would ask for the newest one's headers. */
const TARGET = '20.0.0'
const FOLDERS = readdirSync(join(repository, 'native')).filter(name => name !== 'test')
const SOURCES = [...FOLDERS.map(name => `native/${name}`), 'binding.gyp']
const INPUTS = [...SOURCES, 'package-lock.json', 'test/tools/prebuild.mjs']

/** Debian's names: of the compilers, and of the packages that bring them. */
const TRIPLETS = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' }
const PACKAGES = { x64: 'g++-x86-64-linux-gnu', arm64: 'g++-aarch64-linux-gnu' }
const ARCHITECTURES = Object.keys(TRIPLETS)

const resultOf = arch => `prebuilds/linux-${arch}/dm-thin.glibc.node`

/** @param {string} arch @returns {Record<string, string>} what node-gyp and prebuildify read */
function toolsFor(arch) {
  if (arch === process.arch) return {}
  const tool = name => `${TRIPLETS[arch]}-${name}`
  return { CC: tool('gcc'), CXX: tool('g++'), AR: tool('ar'), PREBUILD_STRIP_BIN: tool('strip') }
}

function onPath(program) {
  if (program.includes('/')) return existsSync(program)
  return (process.env.PATH ?? '').split(delimiter).some(folder => folder !== '' && existsSync(join(folder, program)))
}

/** @param {string[]} architectures @returns {string[]} Debian packages */
function missingPackages(architectures) {
  const missing = new Set()
  if (!onPath('make')) missing.add('make')
  if (!onPath('python3')) missing.add('python3')
  for (const arch of architectures) {
    const needed =
      arch === process.arch ? [(process.env.CXX ?? 'g++').split(' ')[0], 'strip'] : Object.values(toolsFor(arch))
    if (!needed.every(onPath)) missing.add(arch === process.arch ? 'g++' : PACKAGES[arch])
  }
  return [...missing]
}

/** @param {string} arch @param {number} jobs how many compilers at once */
async function prebuild(arch, jobs) {
  const copy = mkdtempSync(join(tmpdir(), 'dm-thin-prebuild-'))
  try {
    for (const path of [...SOURCES, 'package.json']) {
      cpSync(join(repository, path), join(copy, path), { recursive: true })
    }
    symlinkSync(join(repository, 'node_modules'), join(copy, 'node_modules'))
    const bin = join(repository, 'node_modules/.bin')
    const env = {
      ...buildEnvironment(),
      ...toolsFor(arch),
      PATH: `${bin}${delimiter}${process.env.PATH}`,
      JOBS: String(jobs),
      PREBUILD_NODE_GYP: join(bin, 'node-gyp'),
      CXXFLAGS: `${process.env.CXXFLAGS ?? ''} -ffile-prefix-map=${copy}=.`,
    }
    const options = ['--napi', '--strip', '--tag-libc', '--arch', arch, '-t', TARGET]
    await quietly([join(bin, 'prebuildify'), ...options], { cwd: copy, env })
    const result = join(repository, resultOf(arch))
    const fresh = join(copy, resultOf(arch))
    mkdirSync(join(result, '..'), { recursive: true })
    // A process that has the old binary mapped keeps it: the new one is put beside it and takes its name.
    cpSync(fresh, `${result}.new`)
    renameSync(`${result}.new`, result)
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

/** @param {string[]} args */
async function main(args) {
  const ifStale = args.includes('--if-stale')
  const named = args.filter(word => word !== '--if-stale')
  const unknown = named.find(word => !ARCHITECTURES.includes(word))
  if (unknown !== undefined) throw new SetupError(`usage: prebuild.mjs [--if-stale] [${ARCHITECTURES.join('] [')}]`)
  if (!ARCHITECTURES.includes(process.arch)) {
    throw new SetupError(`binaries are made on ${ARCHITECTURES.join(' or ')}, and this is ${process.arch}`)
  }
  const wanted = named.length > 0 ? named : ARCHITECTURES
  await withLock('prebuilds', async () => {
    const hash = hashOf(INPUTS)
    const stale = wanted.filter(arch => !ifStale || !isFresh(`prebuild-${arch}`, hash, [resultOf(arch)]))
    const missing = missingPackages(stale)
    if (missing.length > 0) {
      throw new SetupError(
        `For binaries of ${stale.join(' and ')} some programs are missing. On Debian, as root:\n` +
          `  apt-get install -y --no-install-recommends ${missing.join(' ')}`,
      )
    }
    if (stale.length === 0) return
    await step(`binaries for ${stale.join(' and ')} (prebuildify)`, () =>
      Promise.all(stale.map(arch => prebuild(arch, Math.max(1, Math.floor(availableParallelism() / stale.length))))),
    )
    for (const arch of stale) setStamp(`prebuild-${arch}`, hash)
  })
}

main(process.argv.slice(2)).catch(error => {
  say(error instanceof SetupError ? error.message : error.stack)
  process.exitCode = 1
})
