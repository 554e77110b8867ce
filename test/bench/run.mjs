// The benchmark.
//   node test/bench/run.mjs [--json FILE] [--rounds N] [--only NAME,…] [--peers ours,c,…] [--backing tmp|disk]
//                           [--store tmp|disk] [--page] [--quiet]
// With device mapper and root it measures here. Elsewhere it measures the cheap ioctl here and the rest in the
// virtual machine. --backing says where the pool is, --store where layer stores keep their records (default: there too).
// --page writes docs/benchmark.md and its pictures from the results; --quiet prints no table.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { collect } from './collect.mjs'
import { availableMegabytes, describeMachine, hasDeviceMapper } from './machine.mjs'
import { measureNoop } from './noop.mjs'
import { writePage } from './page.mjs'
import { buildPeers, root } from './process.mjs'
import { printReport } from './report.mjs'
import { cleanUp, makePool, scratchDirectory } from './scratch.mjs'
import { metricNames, trialTable } from './trials.mjs'

const GUEST_LIMIT_S = 10_800
// What the guest needs besides the ballast: the runner, the trial's own heap, dmsetup, the page cache's floor.
const RESERVE_MIB = 512
const progress = text => process.stderr.write(`bench: ${text}\n`)

function readArguments() {
  const { values } = parseArgs({
    options: {
      json: { type: 'string' },
      rounds: { type: 'string', default: '5' },
      only: { type: 'string' },
      peers: { type: 'string' },
      backing: { type: 'string', default: 'tmp' },
      store: { type: 'string' },
      page: { type: 'boolean', default: false },
      quiet: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
    },
  })
  const only = values.only?.split(',') ?? metricNames
  const unknown = only.filter(name => !metricNames.includes(name))
  if (unknown.length > 0) throw new Error(`unknown metric ${unknown.join(', ')}; known: ${metricNames.join(', ')}`)
  return { ...values, only, rounds: Number(values.rounds), peers: values.peers?.split(',') }
}

/** 2 GiB where it fits, else the most that does, in steps that make a readable label. */
function ballast() {
  const fits = Math.floor((availableMegabytes() - RESERVE_MIB) / 128) * 128
  return Math.max(256, Math.min(2048, fits))
}

async function measureHere({ only, rounds, peers, backing, store = backing, quick }) {
  buildPeers()
  const table = trialTable({ bigMegabytes: ballast(), quick })
  const entries = table.filter(entry => entry.metrics.some(metric => only.includes(metric)))
  const scratch = scratchDirectory(backing)
  const storeScratch = store === backing ? scratch : scratchDirectory(store)
  progress(`backing files: ${scratch.on}; stores: ${storeScratch.on}`)
  try {
    const recover = () => makePool(scratch.directory, storeScratch.directory)
    const collection = await collect({ entries, rounds, labels: peers, pool: recover(), recover, progress })
    const where = { backing: scratch.on, store: storeScratch.on }
    return { machine: describeMachine(), rounds, ...where, results: collection.results(only) }
  } finally {
    cleanUp()
    for (const { release } of new Set([scratch, storeScratch])) release()
  }
}

/** The guest sees the work tree under its own path, so the results come back as a file in the ignored cache. */
async function measureInGuest({ only, rounds, peers, backing, store }) {
  const noops = only.filter(name => name.startsWith('noop'))
  const onHost = noops.length > 0 ? await measureNoop({ rounds, peers, progress }) : []
  const file = join(root, '.cache', 'bench', 'guest.json')
  mkdirSync(dirname(file), { recursive: true })
  rmSync(file, { force: true })
  buildPeers()
  const inner = ['--json', file, '--rounds', String(rounds), '--only', only.join(','), '--backing', backing, '--quiet']
  if (peers) inner.push('--peers', peers.join(','))
  if (store) inner.push('--store', store)
  const bench = [process.execPath, join(root, 'test', 'bench', 'run.mjs'), ...inner]
  const vm = [join(root, 'test/tools/vm/vm.mjs'), '--timeout', String(GUEST_LIMIT_S), '--', ...bench]
  progress('no device mapper here: the kernel measurements run in the virtual machine')
  const { status } = spawnSync(process.execPath, vm, { cwd: root, stdio: ['ignore', 2, 2] })
  // With a failed trial the status is not 0 either, but the results are there and say what failed.
  if (!existsSync(file)) throw new Error(`the run in the virtual machine ended with status ${status}`)
  const report = JSON.parse(readFileSync(file, 'utf8'))
  const results = report.results.map(guest => {
    const host = onHost.find(result => result.name === guest.name)
    return host ? { ...host, guest: { ours: guest.ours, peers: guest.peers } } : guest
  })
  return { ...report, machine: { ...report.machine, host: describeMachine() }, results }
}

const options = readArguments()
const report = await (hasDeviceMapper() ? measureHere : measureInGuest)(options)
if (!options.quiet) printReport(report)
const text = JSON.stringify(report, null, 2) + '\n'
if (options.page) await writePage(report)
if (options.json) {
  mkdirSync(dirname(resolve(options.json)), { recursive: true })
  writeFileSync(resolve(options.json), text)
}
if (report.results.some(result => result.errors)) process.exitCode = 1
