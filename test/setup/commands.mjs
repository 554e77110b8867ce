// What each command of package.json does, after the machine is ready for it.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { availableParallelism, totalmem } from 'node:os'
import { join } from 'node:path'
import { cacheDir } from '../vm/cache.mjs'
import { ensureKernel } from '../vm/kernel.mjs'
import { runInGuest } from '../vm/run.mjs'
import { main as vmMain, parseArguments } from '../vm/vm.mjs'
import { buildEnvironment, ensureBuilt } from './build.mjs'
import { ensureClients } from './clients.mjs'
import { ensureContainerdPeer } from './containerd-peer.mjs'
import { inGuest, whyNoDeviceMapper } from './device-mapper.mjs'
import { hasTests, runPart } from './jest.mjs'
import { ensurePackages } from './needs.mjs'
import { openly, repository, say, SetupError, together } from './steps.mjs'
import { countPart, summarize } from './summary.mjs'

const LIBRARY = ['modules', 'sqlite', 'native', 'typescript']
const FOR_TESTS = [...LIBRARY, 'examples', 'fault', 'runtimes']
/** Tests with containerd and Docker, which only the guest may have. */
const CLIENTS = ['clients']
/**
 * What the kernel answers has nothing to do with udev: the contract, tables of targets, the matrix of states. Nor has
 * what an archive does to a file system, and what a store records of calls that are made in both worlds.
 */
const WITHOUT_UDEV = [
  'kernel/(targets-|state-matrix)',
  'kernel/(apply-tar|layer-changes|store-(images|records|upkeep))',
  'fault/apply-tar',
]

/** Packages and kernel that a guest needs; inside a guest there is nothing to do. */
async function readyForGuest(groups) {
  await ensurePackages(inGuest() ? groups : [...groups, 'guest'])
  if (!inGuest()) ensureKernel(line => say(`- ${line}`))
}

/** All builds and the clients, beside each other. @param {() => boolean} clientsToo asked when there are packages */
async function ensureAll(clientsToo) {
  await ensureBuilt(['modules'])
  await together([ensureBuilt(FOR_TESTS), ...(clientsToo() ? [ensureClients()] : [])])
}

/** @param {string[]} args */
export async function demo(args) {
  const why = whyNoDeviceMapper()
  await ensurePackages(why === undefined ? ['build'] : ['build', 'guest'])
  if (why !== undefined) ensureKernel(line => say(`- ${line}`))
  await ensureBuilt([...LIBRARY, 'examples'])
  const command = [process.execPath, 'dist-examples/walkthrough/walkthrough.mjs', ...args]
  if (why === undefined) return openly(command)
  say(`${why}: running in a virtual machine`)
  const keep = args.includes('--keep') && process.stdin.isTTY
  const env = process.stdout.isTTY ? { FORCE_COLOR: '1', COLUMNS: String(process.stdout.columns) } : {}
  return (await runInGuest({ command, cwd: repository, keep, env })).status
}

/** Everything. Kernel tests always run in the guest: they must not be able to hurt anybody's disks. */
export async function test(args) {
  await readyForGuest(['build', 'dev', 'peers'])
  await ensureAll(() => hasTests(CLIENTS, args))
  const devices = ['kernel', 'fault']
  const parts = inGuest()
    ? [
        { title: 'this guest: unit', projects: ['unit'] },
        {
          title: 'this guest: all on devices',
          projects: [...devices, 'contract', 'store', 'examples', 'runtimes', 'races'],
        },
      ]
    : [
        { title: 'host: unit, package', projects: ['unit', 'package'] },
        // The longest first and small ones last, so that no lane is left with a long one at the end.
        // Daemons of many threads. Without udev, whose rules take emulated processors a tenth of a second for each device.
        { title: 'guest: clients', label: 'clients', projects: CLIENTS, guest: true },
        { title: 'guest: contract, store', label: 'store', projects: ['contract', 'store'], guest: true },
        // The examples run in the users' own world: they are programs over calls that the kernel tests make in both.
        {
          title: 'guest with udev: kernel, fault, examples',
          label: 'udev',
          projects: [...devices, 'examples'],
          except: WITHOUT_UDEV,
          guest: true,
          udev: true,
          divides: true,
        },
        { title: 'guest: runtimes', label: 'runtimes', projects: ['runtimes'], guest: true },
        { title: 'guest: kernel, fault', label: 'bare', projects: devices, guest: true, divides: true },
        // Alone, since only then can two processors of a guest run at the same time on a machine that has two.
        { title: 'guest with two processors: races', projects: ['races'], guest: true, alone: true },
      ]
  return report(parts, args)
}

export async function unit(args) {
  await ensurePackages(['build', 'peers'])
  await ensureBuilt(LIBRARY)
  return report([{ title: 'host: unit', projects: ['unit'] }], args)
}

/** The kernel tests on this machine's own kernel, for those who mean it. */
export async function here(args) {
  const why = whyNoDeviceMapper()
  if (why !== undefined) {
    throw new SetupError(`${why}: these tests need root and a kernel with device mapper. "npm test" brings one.`)
  }
  await ensurePackages(['build', 'dev', 'peers'])
  await ensureBuilt(FOR_TESTS)
  return report(
    [{ title: 'this kernel', projects: ['kernel', 'fault', 'contract', 'store', 'examples', 'races', 'runtimes'] }],
    args,
  )
}

/** Four hours: each world takes the better part of one. */
const LONG_LIMIT = 14_400

/** Thousands of volumes, a million calls, storms of events. The figures stay in .cache/long. */
export async function long(args) {
  await readyForGuest(['build', 'dev', 'peers'])
  await ensureBuilt([...LIBRARY])
  const part = { projects: ['long'], guest: true, limit: LONG_LIMIT }
  const worlds = [
    { title: 'guest: long', label: 'bare', ...part },
    // Only that in which udevd has a hand, unless something else is asked for.
    { title: 'guest with udev: long', label: 'udev', ...part, udev: true, usual: ['long/(cycles|deletion|volumes)'] },
  ]
  return report(inGuest() ? [{ title: 'this guest: long', projects: ['long'] }] : worlds, args)
}

export async function asan(args) {
  await readyForGuest(['build', 'dev', 'peers'])
  await ensureBuilt([...LIBRARY, 'examples', 'asan', 'runtimes'])
  const library = spawnSync('gcc', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).stdout.trim()
  if (!existsSync(library)) throw new SetupError('gcc has no libasan.so; run as root: apt-get install g++')
  const jestEnv = {
    LD_PRELOAD: library,
    ASAN_OPTIONS: 'detect_leaks=0',
    UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
    DM_THIN_PREBUILD: join(repository, 'build-asan'),
  }
  const part = { guest: !inGuest(), jestEnv }
  return report(
    [
      {
        title: 'guest under ASan: kernel, contract',
        label: 'asan',
        projects: ['kernel', 'contract'],
        ...part,
        divides: true,
      },
      { title: 'guest under ASan: races', projects: ['races'], ...part, alone: true },
    ],
    args,
  )
}

/** The runner measures the bare stack here, and enters the guest by itself for what needs device mapper. */
export async function bench(args) {
  await readyForGuest(['build', 'peers'])
  await ensureBuilt([...LIBRARY, 'examples'])
  await ensureContainerdPeer()
  return openly([process.execPath, 'test/bench/run.mjs', ...args])
}

/** npm and node in the guest find everything made: it has no network, and would build slowly. */
export async function vm(args) {
  if (inGuest()) return vmMain(args)
  const { command } = parseArguments(args)
  const program = command[0]?.split(/[\s/]/).find(Boolean)
  const builds = ['npm', 'npx', 'node'].includes(program ?? '')
  await readyForGuest(builds ? ['build', 'dev', 'peers'] : args.includes('--udev') ? ['peers'] : [])
  if (builds) await ensureBuilt(FOR_TESTS)
  if (command.some(word => CLIENTS.some(name => word.includes(name)))) await ensureClients()
  Object.assign(process.env, buildEnvironment())
  return vmMain(args)
}

export async function allSetup() {
  await readyForGuest(['build', 'dev', 'peers'])
  await ensureAll(() => true)
  say(`ready; everything fetched is kept in ${cacheDir()} and node_modules`)
  return 0
}

/** What a guest has, and what the rest of the machine keeps. */
const GUEST_MEMORY = 3 * 2 ** 30
const OWN_MEMORY = 2 * 2 ** 30
/** Guests that share out the tests of one world: enough that no lane waits long for the others at the end. */
const SHARDS = 3

/**
 * What runs in lanes, side by side, and what runs alone before and after. There are no more lanes than processors, one
 * for each guest: four emulated guests on two processors take a half longer than the same four two by two (measured).
 * @template {{ title: string, label?: string, guest?: boolean, alone?: boolean, divides?: boolean }} T
 * @param {T[]} parts @param {boolean} divided
 */
function sideBySide(parts, divided) {
  const room = Math.floor((totalmem() - OWN_MEMORY) / GUEST_MEMORY)
  const most = Math.min(room, availableParallelism())
  const side = parts.filter(part => part.guest && !part.alone)
  const guests = side.flatMap(part => (divided && part.divides && most > 1 ? sharesOf(part) : [part]))
  const lanes = Math.max(1, Math.min(most, guests.length))
  const processors = Math.min(2, Math.max(1, Math.floor(availableParallelism() / lanes)))
  return {
    before: parts.filter(part => !part.guest),
    lanes,
    guests: guests.map(part => (lanes === 1 ? { ...part, label: '' } : { ...part, label: labelOf(part), processors })),
    after: parts.filter(part => part.guest && part.alone),
  }
}

/** @template {{ title: string }} T @param {T} part @returns {(T & { shard: string })[]} */
const sharesOf = part =>
  Array.from({ length: SHARDS }, (_, index) => {
    const shard = `${index + 1}/${SHARDS}`
    return { ...part, title: `${part.title} (${shard})`, shard }
  })

/** @param {{ label: string, shard?: string }} part */
const labelOf = ({ label, shard }) => `[${[label, shard].filter(Boolean).join(' ')}]`

/**
 * @param {(Omit<Parameters<typeof runPart>[0], 'filters'> & { usual?: string[] })[]} parts `usual`: the filters of a part
 *   where none are given
 * @param {string[]} filters
 */
async function report(parts, filters) {
  const wanted = parts.filter(({ projects }) => hasTests(projects, filters))
  const filtersOf = part => (filters.length > 0 ? filters : (part.usual ?? []))
  const run = part => runPart({ ...part, filters: filtersOf(part), guest: part.guest ?? false })
  const { before, lanes, guests, after } = sideBySide(wanted, filters.length === 0)
  const results = [
    ...(await inLanes(1, before, run)),
    ...(await inLanes(lanes, guests, run)),
    ...(await inLanes(1, after, run)),
  ]
  const counted = results.map(each => countPart(each, { mayBeEmpty: filters.length > 0, root: repository }))
  // With a name pattern jest calls every other test skipped.
  const byName = filters.some(word => /^(-t|--testNamePattern)/.test(word))
  const { text, ok } = summarize(counted, { skippedMayBe: byName })
  process.stderr.write('\n')
  await new Promise(done => process.stdout.write(`${text}\n`, done))
  return ok ? 0 : 1
}

/**
 * @template T, R
 * @param {number} lanes @param {T[]} items @param {(item: T) => Promise<R>} work
 * @returns {Promise<R[]>} in the order of the items
 */
async function inLanes(lanes, items, work) {
  const results = new Array(items.length)
  const queue = items.entries()
  const lane = async () => {
    for (const [index, item] of queue) results[index] = await work(item)
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  return results
}
