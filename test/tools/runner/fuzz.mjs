// Fuzzing of the native parsers: finds a clang with its fuzzer, builds, runs each target so many times.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { ensurePackages } from '../setup/needs.mjs'
import { quietly, repository, say, seconds, SetupError, step } from '../setup/steps.mjs'

/** Of each target, unless --runs or --seconds says otherwise. */
const BOUNDED_RUNS = 300_000
const USAGE = 'usage: npm run fuzz -- [--runs=COUNT | --seconds=COUNT] [--keep] [target …]'
const MAX_BYTES = 2048
const BUILD = join(repository, 'build-fuzz')
const SOURCES = join(repository, 'native/test/fuzz')
const FIXTURES = join(SOURCES, 'corpus')
/** Newest first. Distributions keep the library of the fuzzer in a package of its own. */
const VERSIONS = [21, 20, 19, 18, 17, 16, 15, 14]

function hasFuzzer(version) {
  const libraries = `/usr/lib/llvm-${version}/lib/clang`
  if (!existsSync(`/usr/bin/clang++-${version}`) || !existsSync(libraries)) return false
  return readdirSync(libraries, { recursive: true }).some(name => /libclang_rt\.fuzzer-\w+\.a$/.test(name))
}

async function fuzzCompiler() {
  if (!VERSIONS.some(hasFuzzer)) await ensurePackages(['fuzz'])
  const version = VERSIONS.find(hasFuzzer)
  if (version === undefined) throw new SetupError('clang is here, but not the library of its fuzzer (libclang-rt-dev)')
  return `clang++-${version}`
}

/**
 * `runs`: of each target. `seconds`: of all targets together.
 * @param {string[]} args @returns {{ runs?: number, seconds?: number, keep: boolean, targets: string[] }}
 */
export function parseArguments(args) {
  /** @type {ReturnType<typeof parseArguments>} */
  const chosen = { keep: false, targets: [] }
  for (const word of args) {
    const [, bound, count] = /^--(runs|seconds)=([1-9]\d*)$/.exec(word) ?? []
    if (bound !== undefined) chosen[bound] = Number(count)
    else if (word === '--keep') chosen.keep = true
    else if (word.startsWith('-')) throw new SetupError(USAGE)
    else chosen.targets.push(word)
  }
  if (chosen.runs !== undefined && chosen.seconds !== undefined) throw new SetupError(USAGE)
  return chosen
}

/** The options of the fuzzer that end it. @param {{ runs?: number, seconds?: number }} chosen @param {number} targets */
function bounds({ runs = BOUNDED_RUNS, seconds: time }, targets) {
  if (time === undefined) return [`-runs=${runs}`]
  return [`-max_total_time=${Math.max(1, Math.round((time * availableParallelism()) / targets))}`]
}

/** Runs a fuzzer and gives the end of what it said; what it found wrong is thrown. */
function run(target, options) {
  return new Promise((done, fail) => {
    const child = spawn(join(BUILD, `fuzz_${target}`), options, { cwd: BUILD, stdio: ['ignore', 'ignore', 'pipe'] })
    let said = ''
    child.stderr.on('data', chunk => (said = (said + chunk).slice(-20_000)))
    child.on('error', fail)
    child.on('close', code => {
      if (code === 0) return done(said)
      const hint = `Repeat it with build-fuzz/fuzz_${target} and the file; keep that in native/test/fuzz/corpus/${target}.`
      fail(new SetupError(`${said}\n${hint}`))
    })
  })
}

/** @param {string} target @param {string[]} end */
async function fuzzOne(target, end) {
  const [found, kept] = [join(BUILD, 'corpus', target), join(FIXTURES, target)]
  mkdirSync(found, { recursive: true })
  const started = Date.now()
  // A parser that hangs, or takes far more memory than what it reads, is as wrong as one that crashes. The time is that
  // of the clock: it must not end what only waits for its turn on a busy machine.
  const limits = ['-timeout=300', '-rss_limit_mb=1024', '-malloc_limit_mb=64', `-max_len=${MAX_BYTES}`]
  const said = await run(target, [...end, ...limits, `-artifact_prefix=${BUILD}/found-${target}-`, found, kept])
  const last = said.match(/#(\d+)\s+DONE\s+cov: (\d+)/)
  const [, executions, coverage] = last ?? []
  say(`- ${target}: ${executions} executions, ${coverage} branches, nothing wrong, in ${seconds(started)}`)
  return Number(executions)
}

/** @param {string[]} args */
export async function fuzz(args) {
  const all = readdirSync(SOURCES).flatMap(name => /^(\w+)\.cc$/.exec(name)?.[1] ?? [])
  const chosen = parseArguments(args)
  const { keep, targets } = chosen
  const unknown = targets.find(target => !all.includes(target))
  if (unknown !== undefined) throw new SetupError(`no target ${unknown}; there are ${all.join(', ')}`)
  const wanted = targets.length > 0 ? targets : all
  await ensurePackages(['dev'])
  const compiler = await fuzzCompiler()
  await step(`fuzzers of ${wanted.length} parsers (cmake, ${compiler})`, async () => {
    const settings = ['-DCMAKE_BUILD_TYPE=RelWithDebInfo', `-DCMAKE_CXX_COMPILER=${compiler}`, '-DDM_THIN_FUZZ=ON']
    await quietly(['cmake', '-S', '.', '-B', BUILD, ...settings])
    await quietly(['cmake', '--build', BUILD, '--parallel', String(availableParallelism())])
  })
  const waiting = [...wanted]
  const counts = []
  const faults = []
  const worker = async () => {
    for (let target = waiting.shift(); target !== undefined; target = waiting.shift())
      await fuzzOne(target, bounds(chosen, wanted.length)).then(
        count => counts.push(count),
        fault => faults.push(fault),
      )
  }
  await Promise.all(Array.from({ length: availableParallelism() }, worker))
  if (faults.length > 0) throw new SetupError(faults.map(({ message }) => message).join('\n\n'))
  // Of what was found those inputs that reach something of their own.
  for (const target of keep ? wanted : [])
    await run(target, ['-merge=1', join(FIXTURES, target), join(BUILD, 'corpus', target)])
  say(`${counts.reduce((sum, count) => sum + count, 0)} executions of ${wanted.length} parsers, nothing wrong`)
  return 0
}
