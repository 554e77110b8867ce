// docs/benchmark.md and its pictures, and the figures of docs/fork-comparison.md, from the published results.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { format, resolveConfig } from 'prettier'
import { documentedCalls } from './calls-table.mjs'
import { forkLines } from './fork-reading.mjs'
import { draw } from './pictures.mjs'
import { root } from './process.mjs'
import {
  kernelLines,
  loopLines,
  memoryLines,
  metadataLines,
  peerLines,
  repeatLines,
  storeLines,
  transferLines,
} from './reading.mjs'
import { kindOf, kindsOf, merge, readPublished, titleOf } from './results.mjs'
import { readable } from './stats.mjs'
import { forkNames, otherNames, tableOf } from './table.mjs'
import { metricNames } from './trials.mjs'

const docs = join(root, 'docs')
const folder = join(docs, 'benchmark')
const published = join(folder, 'results.json')
const comparison = join(docs, 'fork-comparison.md')
const EMULATED =
  'Under emulation, times are 10 to 40 times those of a real machine, and not uniformly: compare only within a cell.'
const NATIVE =
  'In User-Mode Linux, programs run at native speed, a system call takes 10 to 50 times as long, and the waits of the ' +
  'kernel for other processors do not exist: compare only within a cell.'
const UNSYNCED = ', where SQLite’s fsync costs nothing'

/** Groups of rows are easier to read than their names. */
function rowsText(names) {
  const isWhole = some => some.every(name => names.includes(name))
  if (isWhole(metricNames)) return 'all rows'
  const forks = isWhole(forkNames) ? ['the `fork-` rows'] : names.filter(name => forkNames.includes(name))
  const others = isWhole(otherNames) ? ['all rows without `fork-`'] : names.filter(name => otherNames.includes(name))
  return [...forks, ...others].map(text => (text.includes('rows') ? text : `\`${text}\``)).join(', ')
}

function runLines({ runs, results }) {
  return runs.flatMap((run, index) => {
    const { kernel, node, cores, cpu, memory, udev, date, host } = run.machine
    const names = results.filter(result => result.run === index).map(({ name }) => name)
    const on = host ? `; on ${host.cpu}, ${host.cores} cores, Linux ${host.kernel}` : ''
    const noops = host && names.some(name => name.startsWith('noop')) ? ' (the `noop` rows are of that machine)' : ''
    const processors = `${cores} processor${cores > 1 ? 's' : ''}`
    const store = run.store ? `; records of layer stores: ${run.store}${/tmpfs/.test(run.store) ? UNSYNCED : ''}` : ''
    return [
      `- **${titleOf(kindOf(run))}**, ${date.slice(0, 10)}, ${run.rounds} round${run.rounds > 1 ? 's' : ''}: ${rowsText(names)}`,
      `  - ${cpu}, ${processors}, ${memory}, Linux ${kernel}, Node ${node}, udev ${udev ? 'on' : 'off'}${on}${noops}`,
      `  - pool: 64 KiB blocks, 256 MiB of metadata, sparse files behind loop devices (${run.backing})${store}`,
    ]
  })
}

/** What every asynchronous call pays where these figures were taken, whatever it asks of the kernel. */
function floorLines({ results }) {
  const noop = results.find(result => result.name === 'noop-async' && result.ours)
  if (!noop) return []
  const line = (where, { ours, peers }) =>
    `- ${where}: ${readable(ours)} µs; \`c-async\` ${readable(peers['c-async'])} µs, \`c\` ${readable(peers.c)} µs`
  return [
    '## Why some targets are not reached',
    '',
    'A call runs on a thread and returns through the event loop, so JavaScript never waits. For the least expensive ioctl,',
    'one after the other, this costs',
    '',
    ...(noop.guest ? [line('in the virtual machine', noop.guest)] : []),
    line(noop.where ? 'on the host' : 'here', noop),
    '',
    'The share of `c-async` is the cost of waking a sleeping processor twice on this machine. Each row with one call after',
    'the other contains this cost once for each call. `status-batch` creates 100 JavaScript objects and `list-10k` 10 000,',
    'with their texts, where `c` only points at them. In the rows with concurrent calls, 64 threads and the event loop share',
    'the processors.',
    '',
    'In User-Mode Linux to read the clock is a system call, 7 µs, and only there. Node and the library read it six or seven times',
    'for each `message` and five or six times for each `activate`, the C programs only to measure. By this count it is about half',
    'of what `message` takes longer than `c-locks`. `npm run vm -- --uml node test/bench/system-calls.mjs --clock` counts;',
    '`npm run vm -- --uml --cheaper node test/bench/run.mjs` measures with a clock that is no system call, and cheap new pages.',
    '',
  ]
}

/** @param {{ file: string, title: string }[]} drawn @param {string} calls the page of system calls */
export function pageText(all, drawn, calls) {
  const documented = documentedCalls(calls)
  const kinds = kindsOf(all)
  const picture = ({ file, title }) => [`![${title}](benchmark/${file})`, '']
  const isFork = ({ file }) => file.startsWith('fork')
  return [
    '# Benchmark',
    '',
    '[Documentation](README.md)',
    '',
    'Written by `npm run bench -- --page` from its runs; the figures are in [results.json](benchmark/results.json). A run of',
    'some rows replaces those rows and leaves the others.',
    '',
    ...runLines(all),
    '',
    'In every run: a fresh process for each trial, peers interleaved, medians per operation over the rounds. The first third',
    'of the samples of each trial is warm-up and not counted, for every peer. Figures are our time, then each peer’s with its',
    'multiple of ours. System calls are those of one of our operations, and the calls by which threads wait for each other.',
    ...(kinds.includes('uml') ? ['', NATIVE] : []),
    ...(kinds.includes('tcg') ? ['', EMULATED] : []),
    '',
    '## Forks',
    '',
    '[Thin snapshots or reflink](fork-comparison.md) is the page for those who choose. Scales of pictures are logarithmic',
    'unless they begin at 0.',
    '',
    ...tableOf(all, forkNames, documented),
    '',
    ...drawn.filter(isFork).flatMap(picture),
    ...forkLines,
    '## Pools, volumes and layers',
    '',
    ...peerLines,
    '',
    ...tableOf(all, otherNames, documented),
    '',
    ...drawn.filter(each => !isFork(each)).flatMap(picture),
    ...floorLines(all),
    ...kernelLines,
    ...loopLines,
    ...memoryLines,
    ...storeLines,
    ...metadataLines,
    ...transferLines,
    ...repeatLines,
  ].join('\n')
}

/** The page for those who choose has the table of forks between two marks. */
export function withTable(text, table) {
  const marks = /(<!-- forks -->\n)[\s\S]*?(<!-- \/forks -->)/
  if (!marks.test(text)) throw new Error('fork-comparison.md has no place for its table')
  return text.replace(marks, (_, begin, end) => `${begin}\n${table}\n\n${end}`)
}

/** As the format check wants it. */
async function writeFormatted(path, text) {
  writeFileSync(path, await format(text, { ...(await resolveConfig(path)), filepath: path }))
}

/** Adds runs to the published results, and writes the pages from them. */
export async function writePage(reports) {
  if (reports.some(({ quick }) => quick)) throw new Error('the figures of --quick are not for the page')
  const all = reports.reduce(merge, readPublished(published))
  const calls = readFileSync(join(folder, 'system-calls.md'), 'utf8')
  await writeFormatted(published, JSON.stringify(all))
  await writeFormatted(join(docs, 'benchmark.md'), pageText(all, draw(all, folder), calls))
  const table = tableOf(all, forkNames, documentedCalls(calls)).join('\n')
  await writeFormatted(comparison, withTable(readFileSync(comparison, 'utf8'), table))
}
