// The pages of the benchmark from the published results: docs/benchmark.md with its two pictures, all rows, and the
// figures of docs/fork-comparison.md. How the rows are measured is written by hand: docs/benchmark/how-measured.md.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { format, resolveConfig } from 'prettier'
import { documentedCalls } from './calls-table.mjs'
import { draw, headlineLines, startLines } from './headline.mjs'
import { root } from './process.mjs'
import { kindOf, kindsOf, machinesText, merge, readPublished, resultOf, titleOf } from './results.mjs'
import { readable } from './stats.mjs'
import { forkNames, otherNames, startNames, tableOf, tableText } from './table.mjs'

const docs = join(root, 'docs')
const folder = join(docs, 'benchmark')
const published = join(folder, 'results.json')
const comparison = join(docs, 'fork-comparison.md')
const UNIFORM = {
  tcg: 'Under emulation, times are 10 to 40 times those of a real machine, and not uniformly.',
  uml:
    'In User-Mode Linux, programs run at native speed, a system call takes 10 to 50 times as long, and the waits of the ' +
    'kernel for other processors do not exist.',
}

const machineLine = (all, kind) =>
  `- **${titleOf(kind)}**: ${machinesText(all.runs.filter(run => kindOf(run) === kind))}`

/** What every asynchronous call pays where these figures were taken, whatever it asks of the kernel. */
function floorLines({ results }) {
  const noop = results.find(result => result.name === 'noop-async' && result.ours)
  if (!noop) return []
  const line = (where, { ours, peers }) =>
    `- ${where}: ${readable(ours)} µs; \`c-async\` ${readable(peers['c-async'])} µs, \`c\` ${readable(peers.c)} µs`
  return [
    'The least expensive ioctl, one call after the other, costs',
    '',
    ...(noop.guest ? [line('in the virtual machine', noop.guest)] : []),
    line(noop.where ? 'on the host' : 'here', noop),
    '',
    'Each row with one call after the other contains this cost once for each call:',
    '[why some targets are not reached](how-measured.md#why-some-targets-are-not-reached).',
    '',
  ]
}

/** @param {string} calls the page of system calls */
export function allRowsText(all, calls) {
  const documented = documentedCalls(calls)
  return [
    '# All rows of the benchmark',
    '',
    '[Documentation](../README.md) · [Benchmark](../benchmark.md) · [How the rows are measured](how-measured.md)',
    '',
    'Written by `npm run bench -- --page` from [results.json](results.json), which has the machine, the date and the samples',
    'of each row. A run of some rows replaces those rows and leaves the others.',
    '',
    ...kindsOf(all).map(kind => machineLine(all, kind)),
    '',
    'A cell has our time, then the time of each peer with its multiple of ours. System calls are those of one of our',
    'operations, and the calls by which threads wait for each other. Compare only within a cell:',
    ...kindsOf(all).flatMap(kind => UNIFORM[kind] ?? []),
    '',
    '## Pools, volumes and layers',
    '',
    ...tableOf(all, otherNames, documented),
    '',
    ...floorLines(all),
    '## Forks',
    '',
    ...tableOf(all, forkNames, documented),
    '',
    '## Starts',
    '',
    ...tableOf(all, startNames, documented),
    '',
  ].join('\n')
}

/** @param {{ file: string, title: string }[]} drawn */
export function pageText(all, drawn) {
  return [
    '# Benchmark',
    '',
    '[Documentation](README.md)',
    '',
    ...headlineLines(all),
    '',
    ...startLines(all),
    ...drawn.flatMap(({ file, title }) => [`![${title}](benchmark/${file})`, '']),
    '- [All rows](benchmark/all-rows.md), with all peers, targets and their misses; [results.json](benchmark/results.json)',
    '- [How the rows are measured](benchmark/how-measured.md), and how to repeat them',
    '- [Thin snapshots or reflink](fork-comparison.md): dm-thin beside XFS, btrfs and dm-snapshot',
    '- [System calls](benchmark/system-calls.md) of each operation',
    '',
  ].join('\n')
}

/** Figures for those who choose: time of a fork, by what it is made with. */
export function forkFigures(all) {
  const rows = [
    ['1 000 forks of a live disk, for each', 'fork-1000'],
    ['their removal, for each', 'fork-gone'],
    ['one fork of a disk of 2^20 extents', 'fork-extents-1m'],
    ['the first write of 4 KiB to a fork', 'fork-first-write'],
  ]
  const [kind] = kindsOf(all)
  const cells = rows.map(([text, name]) => {
    const { ours, peers, unit } = resultOf(all, name, kind) ?? { peers: {} }
    return [
      text,
      ...[ours, peers.xfs, peers.btrfs].map(value => (value === undefined ? '–' : `${readable(value)} ${unit}`)),
    ]
  })
  return tableText(['', 'thin', 'XFS', 'btrfs'], cells)
}

/** The page for those who choose has these figures between two marks. */
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
  await writeFormatted(published, JSON.stringify(all))
  await writeFormatted(join(docs, 'benchmark.md'), pageText(all, draw(all, folder)))
  const calls = readFileSync(join(folder, 'system-calls.md'), 'utf8')
  await writeFormatted(join(folder, 'all-rows.md'), allRowsText(all, calls))
  await writeFormatted(comparison, withTable(readFileSync(comparison, 'utf8'), forkFigures(all).join('\n')))
}
