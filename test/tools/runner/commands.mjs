// What each command of package.json does, after the machine is ready for it.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readOptions } from '../../bench/options.mjs'
import { cacheDir } from '../vm/cache.mjs'
import { ensureKernel } from '../vm/kernel.mjs'
import { chooseMachine } from '../vm/machine.mjs'
import { runInGuest } from '../vm/run.mjs'
import { main as vmMain, parseArguments } from '../vm/vm.mjs'
import { buildEnvironment, ensureBuilt } from '../setup/build.mjs'
import { ensureClients } from '../setup/clients.mjs'
import { ensureContainerdPeer } from '../setup/containerd-peer.mjs'
import { inGuest, whyNoDeviceMapper } from '../setup/device-mapper.mjs'
import { runPart } from './jest.mjs'
import { runParts } from './lanes.mjs'
import { writeMatrix } from './matrix.mjs'
import { ensurePackages } from '../setup/needs.mjs'
import { everyPart, ON_DEVICES, usualParts } from './parts.mjs'
import { optionsIn, testFiles } from './queue.mjs'
import { openly, repository, say, SetupError, together } from '../setup/steps.mjs'
import { countPart, summarize } from './summary.mjs'
import { ensureTools } from '../setup/tools.mjs'

const LIBRARY = ['modules', 'sqlite', 'native', 'typescript']
/** Groups of packages that some commands add. */
const [PEERS, QEMU, CROSS] = /** @type {const} */ ([['peers'], ['qemu'], ['cross']])
const FOR_TESTS = [...LIBRARY, 'oneFile', 'examples', 'fault', 'runtimes']

/** What a guest needs beside what builds need; inside a guest there is nothing to do. `uml` and `qemu`: their kernels too. */
async function readyForGuest({ qemu = false, uml = false, peers = true } = {}) {
  if (inGuest()) return
  await ensureTools(['guest', ...(peers ? PEERS : []), ...(qemu ? QEMU : [])])
  const sayKernel = line => say(`- ${line}`)
  if (qemu) await ensureKernel('qemu', sayKernel)
  if (uml) await ensureKernel('uml', sayKernel)
  const machine = await chooseMachine(sayKernel)
  if (machine.name === 'qemu') await ensureTools(['guest', ...(peers ? PEERS : []), 'qemu'])
  await machine.ensureKernel(sayKernel)
}

/** All builds, the guests' packages and the clients, beside each other. */
async function ensureAll({ clients, packed, qemu, uml }) {
  await ensurePackages(['build', 'dev', ...(packed ? CROSS : [])])
  const guests = async () => {
    await readyForGuest({ qemu, uml })
    if (clients) await ensureClients()
  }
  await together([ensureBuilt([...FOR_TESTS, ...(packed ? ['arm64'] : [])]), guests()])
}

/** @param {string[]} args */
export async function demo(args) {
  const why = whyNoDeviceMapper()
  await ensurePackages(['build'])
  const guest = why === undefined ? ensureTools(['guest']) : readyForGuest({ peers: false })
  await together([ensureBuilt([...LIBRARY, 'examples']), guest])
  const command = [process.execPath, 'dist-examples/walkthrough/walkthrough.mjs', ...args]
  if (why === undefined) return openly(command)
  say(`${why}: running in a virtual machine`)
  const keep = args.includes('--keep') && process.stdin.isTTY
  /** @type {Record<string, string>} */
  const env = process.stdout.isTTY ? { FORCE_COLOR: '1', COLUMNS: String(process.stdout.columns) } : {}
  return (await runInGuest({ command, cwd: repository, keep, cheaper: true, env })).status
}

/** Every feature and every promise once. Tests on devices run in a guest: they must not be able to hurt anybody's disks. */
export const test = args => usual(args, { full: false })

/** And what repeats a proof: on a second kernel, on each Node, with all pairs, with random histories. */
export const testFull = args => usual(args, { full: true })

/** @param {string[]} args @param {{ full: boolean }} which */
async function usual(args, { full }) {
  if (full) process.env.DM_THIN_FULL = '1'
  const needs = project => testFiles([project], args, { full }).length > 0
  // It boots the kernel of the other kind of machine inside of the guest: see test/helpers/process/boot-kernel.ts.
  const boots = testFiles(['examples'], args, { full }).some(({ file }) => file.endsWith('boot-forks.test.ts'))
  await ensureAll({
    clients: needs('clients'),
    packed: needs('package') && !inGuest(),
    qemu: boots || process.env.DM_THIN_VM !== 'uml',
    uml: boots,
  })
  if (inGuest()) return report([here(['unit'], args, full), here([...ON_DEVICES, 'races'], args, full)], [], args)
  return report([here(['unit', 'package'], args, full)], await usualParts(args, { full }), args)
}

/** Everything on each machine, with and without udev, for a release; the table goes to docs/project/test-matrix.md. */
export async function testAll(args) {
  await ensureAll({ clients: true, packed: true, qemu: true, uml: true })
  process.env.DM_THIN_FULL = '1'
  return report([here(['unit', 'package'], args, true)], everyPart(args), args, writeMatrix)
}

export async function unit(args) {
  await ensurePackages(['build'])
  await ensureTools(['guest', 'peers'])
  await ensureBuilt(LIBRARY)
  return report([here(['unit'], args)], [], args)
}

/** The kernel tests on this machine's own kernel, for those who mean it. */
export async function testHere(args) {
  const why = whyNoDeviceMapper()
  if (why !== undefined) {
    throw new SetupError(`${why}: these tests need root and a kernel with device mapper. "npm test" brings one.`)
  }
  await ensurePackages(['build', 'dev'])
  await ensureTools(['guest', 'peers'])
  await ensureKernel('uml')
  await ensureBuilt(FOR_TESTS)
  return report([here(ON_DEVICES.filter(name => name !== 'clients').concat('races'), args)], [], args)
}

/** Four hours: with and without udev each takes the better part of one. */
const LONG_LIMIT = 14_400

/** Thousands of volumes, a million calls, storms of events. The figures stay in .cache/long. */
export async function long(args) {
  await ensurePackages(['build', 'dev'])
  await readyForGuest()
  await ensureBuilt([...LIBRARY, 'oneFile', 'fault'])
  if (inGuest()) return report([here(['long'], args)], [], args)
  const machine = (await chooseMachine(say)).name
  const all = testFiles(['long'], args)
  const parts = [false, true].map(udev => ({
    title: `long${udev ? ' with udev' : ''}`,
    machine,
    udev,
    limit: LONG_LIMIT,
    files: all.filter(file => file.udev.includes(udev ? 'with' : 'without')),
  }))
  return report([], parts, args)
}

export async function asan(args) {
  await ensurePackages(['build', 'dev'])
  await readyForGuest({ qemu: true })
  await ensureBuilt([...LIBRARY, 'oneFile', 'examples', 'asan', 'runtimes'])
  const library = spawnSync('gcc', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).stdout.trim()
  if (!existsSync(library)) throw new SetupError('gcc has no libasan.so; run as root: apt-get install g++')
  const jestEnv = {
    LD_PRELOAD: library,
    ASAN_OPTIONS: 'detect_leaks=0',
    UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
    DM_THIN_PREBUILD: join(repository, 'build-asan'),
  }
  const machine = 'qemu'
  /** @type {import('./lanes.mjs').Part[]} */
  const parts = [
    { title: 'ASan', machine, udev: false, jestEnv, files: testFiles(['kernel', 'contract'], args) },
    {
      title: 'ASan: races',
      machine,
      udev: false,
      jestEnv,
      processors: 2,
      alone: true,
      files: testFiles(['races'], args),
    },
  ]
  return report([], parts, args)
}

/** A wrong option is told before anything is fetched or built. @param {string[]} args */
function optionsOfBench(args) {
  try {
    return readOptions(args)
  } catch (error) {
    throw new SetupError(error.message)
  }
}

/** The runner measures the bare stack here, and enters the guest by itself for what needs device mapper. */
export async function bench(args) {
  const program = [process.execPath, 'test/bench/run.mjs', ...args]
  const { reads, machines } = optionsOfBench(args)
  if (reads) return openly(program)
  await ensurePackages(['build'])
  await readyForGuest({ qemu: machines.includes('qemu') })
  await ensureBuilt([...LIBRARY, 'oneFile', 'examples'])
  await ensureContainerdPeer()
  return openly(program)
}

/** npm and node in the guest find everything made: it has no network. */
export async function vm(args) {
  if (inGuest()) return vmMain(args)
  const { command, machine } = parseArguments(args)
  const program = command[0]?.split(/[\s/]/).find(Boolean)
  const builds = ['npm', 'npx', 'node'].includes(program ?? '')
  if (builds) await ensurePackages(['build', 'dev'])
  await readyForGuest({ qemu: machine === 'qemu', peers: builds || args.includes('--udev') })
  if (builds) await ensureBuilt(FOR_TESTS)
  if (command.some(word => word.includes('clients'))) await ensureClients()
  Object.assign(process.env, buildEnvironment())
  return vmMain(args)
}

export async function allSetup() {
  await ensureAll({ clients: true, packed: true, qemu: true, uml: true })
  say(`ready; everything fetched is kept in ${cacheDir()} and node_modules`)
  return 0
}

/** A part on this machine's own kernel. @param {string[]} projects @param {string[]} filters @param {boolean} [full] */
const here = (projects, filters, full = false) => ({
  title: `here: ${projects.join(', ')}`,
  files: testFiles(projects, filters, { full }),
  options: optionsIn(filters),
  devices: projects.some(name => [...ON_DEVICES, 'races', 'long'].includes(name)),
})

/**
 * @param {ReturnType<typeof here>[]} local @param {import('./lanes.mjs').Part[]} parts @param {string[]} filters
 * @param {(results: import('./summary.mjs').Part[]) => Promise<void>} [keep]
 */
async function report(local, parts, filters, keep = async () => {}) {
  const results = []
  for (const part of local) if (part.files.length > 0) results.push(await runPart(part))
  const testNamePattern = namePattern(filters)
  results.push(...(await runParts(parts, { testNamePattern })))
  await keep(results)
  const counted = results.map(each => countPart(each, { mayBeEmpty: filters.length > 0, root: repository }))
  // With a name pattern jest calls every other test skipped.
  const took = { seconds: process.uptime(), processorSeconds: processorSeconds() }
  const { text, ok } = summarize(counted, { skippedMayBe: testNamePattern !== undefined, took })
  process.stderr.write('\n')
  await new Promise(done => process.stdout.write(`${text}\n`, done))
  return ok ? 0 : 1
}

/** Of this process and of all that it started and that have ended; a tick is a hundredth of a second. */
function processorSeconds() {
  const fields = readFileSync('/proc/self/stat', 'utf8')
    .replace(/^.*\) /, '')
    .split(' ')
    .map(Number)
  return fields.slice(11, 15).reduce((sum, ticks) => sum + ticks, 0) / 100
}

/** The value of jest's -t. @param {string[]} words */
function namePattern(words) {
  const at = words.findIndex(word => /^(-t|--testNamePattern)(=|$)/.test(word))
  return at < 0 ? undefined : (/=(.*)/.exec(words[at])?.[1] ?? words[at + 1])
}
