// The benchmark.
//   node test/bench/run.mjs [--rounds N] [--only NAME,…] [--peers ours,c,…] [--quick] [--vm uml,qemu] [--backing tmp|disk]
//                           [--store disk|tmp] [--json FILE] [--page] [--quiet]
//   node test/bench/run.mjs --compare A.json B.json
//   node test/bench/run.mjs --publish FILE
// With device mapper and root it measures here. Elsewhere it measures the cheap ioctl and the starts of processes here and
// the rest in virtual machines: in the one that tests use too, or in those that --vm names, one after the other.
// --rounds is 5, and less for rows that take minutes; if it is given, it holds for all.
// --peers takes the names of peers as the page has them: c stands for c-64 and c-async too.
// --only takes names of rows, and beginnings of names that end in "-". --backing says where the pool is, --store where
// layer stores keep their records. --quick is for trying: a fifth of the forks. --page adds the results to those that
// docs/benchmark.md shows and writes it, and so does --publish with those of a file that --json wrote. --quiet prints no
// table.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { collect } from './collect.mjs'
import { compareReports, comparisonText } from './compare.mjs'
import { availableMegabytes, describeMachine, hasDeviceMapper } from './machine.mjs'
import { readOptions } from './options.mjs'
import { writePage } from './page.mjs'
import { buildPeers, root } from './process.mjs'
import { printReport } from './report.mjs'
import { merge, nothing } from './results.mjs'
import { cleanUp, makePool, scratchDirectory } from './scratch.mjs'
import { noopTrial, startTrial, trialTable } from './trials.mjs'

const GUEST_LIMIT_S = 10_800
// What the guest needs besides the ballast: the runner, the trial's own heap, dmsetup, the page cache's floor.
const RESERVE_MIB = 512
const progress = text => process.stderr.write(`bench: ${text}\n`)

/** 2 GiB where it fits, else the most that does, in steps that make a readable label. */
function ballast() {
  const fits = Math.floor((availableMegabytes() - RESERVE_MIB) / 128) * 128
  return Math.max(256, Math.min(2048, fits))
}

async function measureHere({ only, rounds, fewer, peers, backing, store, quick }) {
  buildPeers()
  const table = trialTable({ bigMegabytes: ballast(), quick })
  const wanted = table.filter(entry => entry.metrics.some(metric => only.includes(metric)))
  const entries = fewer ? wanted : wanted.map(entry => ({ ...entry, rounds }))
  const scratch = scratchDirectory(backing)
  const storeScratch = store === backing ? scratch : scratchDirectory(store)
  progress(`backing files: ${scratch.on}; stores: ${storeScratch.on}`)
  try {
    const recover = () => makePool(scratch.directory, storeScratch.directory)
    const collection = await collect({ entries, rounds, labels: peers, pool: recover(), recover, progress })
    const where = { backing: scratch.on, store: storeScratch.on }
    return { machine: describeMachine(), rounds, ...where, ...(quick && { quick }), results: collection.results(only) }
  } finally {
    cleanUp()
    for (const { release } of new Set([scratch, storeScratch])) release()
  }
}

/** The results of the cheap ioctl on this very machine, marked as such: in the guest the same rows have other figures. */
async function measureNoop({ only, rounds, peers }) {
  const metrics = noopTrial.metrics.filter(name => only.includes(name))
  if (metrics.length === 0) return []
  const collection = await collect({ entries: [noopTrial], rounds, labels: peers, pool: {}, progress })
  return collection.results(metrics).map(result => ({ ...result, where: 'host' }))
}

/** The guest sees the work tree under its own path, so the results come back as a file in the ignored cache. */
async function measureInGuest(given, machine) {
  const { only, rounds, fewer, peers, backing, store, quick } = given
  buildPeers()
  const onHost = await measureNoop(given)
  const file = join(root, '.cache', 'bench', 'guest.json')
  mkdirSync(dirname(file), { recursive: true })
  rmSync(file, { force: true })
  const inner = ['--json', file, '--only', only.join(','), '--backing', backing, '--store', store, '--quiet']
  inner.push(
    ...(fewer ? [] : ['--rounds', String(rounds)]),
    ...(quick ? ['--quick'] : []),
    ...(peers ? ['--peers', peers.join(',')] : []),
  )
  const bench = [process.execPath, join(root, 'test', 'bench', 'run.mjs'), ...inner]
  const vm = [join(root, 'test/tools/vm/vm.mjs'), ...(machine ? [`--${machine}`] : [])]
  vm.push('--timeout', String(GUEST_LIMIT_S), '--', ...bench)
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

/** The starts of processes, on this very machine, as a report of its own. */
async function measureStarts({ only, rounds, peers }) {
  const metrics = Object.keys(startTrial.rows).filter(name => only.includes(name))
  if (metrics.length === 0) return []
  const entries = [{ ...startTrial, metrics }]
  const load = os.loadavg()[0]
  const collection = await collect({ entries, rounds, labels: peers, pool: {}, progress })
  return [{ machine: { ...describeMachine(), load }, rounds, results: collection.results(metrics) }]
}

/** The reports of all rows but those of starts, one for each machine. */
async function measureKernel(given) {
  if (given.only.length === 0) return []
  if (hasDeviceMapper()) return [await measureHere(given)]
  const reports = []
  for (const machine of given.machines) reports.push(await measureInGuest(given, machine))
  return reports
}

async function measure(given) {
  const starts = await measureStarts(given)
  const only = given.only.filter(name => !(name in startTrial.rows))
  return [...starts, ...(await measureKernel({ ...given, only }))]
}

async function main(given) {
  const reports = await measure(given)
  if (!given.quiet) for (const report of reports) printReport(report)
  if (given.page) await writePage(reports)
  if (given.json) {
    mkdirSync(dirname(resolve(given.json)), { recursive: true })
    const content = reports.length === 1 ? reports[0] : reports.reduce(merge, nothing)
    writeFileSync(resolve(given.json), JSON.stringify(content, null, 2) + '\n')
  }
  if (reports.some(({ results }) => results.some(result => result.errors))) process.exitCode = 1
}

/** The reports of a file that --json wrote. */
function reportsOf(file) {
  const content = readReport(file)
  if (content.runs === undefined) return [content]
  return content.runs.map((run, at) => ({ ...run, results: content.results.filter(result => result.run === at) }))
}

const readReport = file => JSON.parse(readFileSync(file, 'utf8'))
const given = readOptions(process.argv.slice(2))
if (given.compare) {
  const [first, second] = given.files.map(readReport)
  console.log(comparisonText(compareReports(first, second)))
} else if (given.publish) {
  await writePage(reportsOf(given.publish))
} else {
  await main(given)
}
