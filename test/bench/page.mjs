// docs/benchmark.md and its pictures, from one run's results and nothing else.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { format, resolveConfig } from 'prettier'
import { barChart } from './chart.mjs'
import { root } from './process.mjs'
import { loopLines, metadataLines, storeLines, transferLines } from './reading.mjs'
import { peerText, targetTexts } from './report.mjs'
import { readable } from './stats.mjs'
import { metricNames, metricOf } from './trials.mjs'

const docs = join(root, 'docs')
const EMULATED =
  'Under emulation, times are 10 to 40 times those of a real machine, and not uniformly: compare only within a row.'
const UNSYNCED = ', where SQLite’s fsync costs nothing (`--store disk` puts them on a disk)'
const pictures = [
  {
    file: 'latency.svg',
    title: 'Time per operation (logarithmic scale, shorter is better)',
    scale: 'log',
    metrics: [
      'snapshot-ready',
      'message',
      'activate',
      'remove',
      'activate-64',
      'remove-64',
      'status-batch',
      'list-10k',
    ],
  },
  {
    file: 'events.svg',
    title: 'From an event in the kernel to its listener (logarithmic scale)',
    scale: 'log',
    metrics: ['event-latency'],
  },
  {
    file: 'noop.svg',
    title: 'One inexpensive ioctl through the whole stack (logarithmic scale)',
    scale: 'log',
    metrics: ['noop-async', 'noop-async-64'],
  },
  {
    file: 'resident-memory.svg',
    title: 'Snapshot and activation by the resident memory of the process',
    scale: 'linear',
    metrics: ['resident-memory'],
  },
  {
    file: 'store.svg',
    title: 'Layers made and removed (logarithmic scale, shorter is better)',
    scale: 'log',
    metrics: ['prepare', 'prepare-100', 'prepare-warm', 'prepare-10k', 'remove-100', 'remove-100-gone'],
  },
  {
    file: 'store-files.svg',
    title: 'Archives unpacked, layers compared, ten thousand layers (logarithmic scale)',
    scale: 'log',
    metrics: [
      'import',
      'import-mounted',
      'import-large',
      'import-large-mounted',
      'diff',
      'diff-tar',
      'open-10k',
      'walk-10k',
    ],
  },
  {
    file: 'event-loop.svg',
    title: 'Delay of the event loop, p99, 64 activations and removals (logarithmic scale)',
    scale: 'log',
    metrics: ['event-loop'],
  },
]

/** The headline figure is one of the labelled ones where a metric compares us with ourselves. */
function barsOf(result) {
  const peers = Object.entries(result.peers).map(([series, value]) => ({ series, value }))
  const own = peers.some(({ series }) => series.startsWith('ours'))
  return own || result.ours === null ? peers : [{ series: 'ours', value: result.ours }, ...peers]
}

/** A metric with one kind of bar per label reads better as one line per label. */
function groupsOf(results) {
  const [first] = results
  if (results.length > 1 || !first) return results.map(result => ({ label: result.name, bars: barsOf(result) }))
  return barsOf(first).map(bar => ({ label: bar.series, bars: [{ ...bar, series: bar.series.split('-')[0] }] }))
}

function draw(results) {
  const drawn = []
  for (const { file, title, scale, metrics } of pictures) {
    const shown = results.filter(result => metrics.includes(result.name) && barsOf(result).length > 0)
    if (shown.length === 0) continue
    writeFileSync(
      join(docs, 'benchmark', file),
      barChart({ title, scale, unit: shown[0].unit, groups: groupsOf(shown) }),
    )
    drawn.push(`![${title}](benchmark/${file})`)
  }
  return drawn
}

function tableOf(results) {
  const header = ['| metric | ours | peers (multiple of ours) | target |', '|---|---|---|---|']
  const rows = results.map(result => {
    const peers = Object.keys(result.peers).map(label => `${label} ${peerText(result, label)}`)
    const ours = result.ours === null ? 'not measured' : `**${readable(result.ours)} ${result.unit}**`
    const where = result.where ? ` on the ${result.where}` : ''
    const missing = result.errors ? '<br>a trial failed' : ''
    const cells = [`\`${result.name}\`<br>${result.what}`, `${ours}${where}${missing}`, peers.join('<br>') || '–']
    return `| ${[...cells, targetTexts(result).join('<br>')].join(' | ')} |`
  })
  return [...header, ...rows]
}

/** A page for part of the metrics would pass for the whole: what was not run gets its row. */
function complete(results) {
  return metricNames.map(name => {
    const { unit, what } = metricOf(name)
    return results.find(result => result.name === name) ?? { name, unit, what, ours: null, peers: {} }
  })
}

function machineLines({ machine, rounds, backing, store }) {
  const { accelerator, kernel, node, cores, cpu, memory, udev, date, host } = machine
  const emulated = accelerator === 'tcg' ? ' (software emulation)' : ''
  const where = host
    ? [`- host: ${host.cpu}, ${host.cores} cores, Linux ${host.kernel}, Node ${host.node} (the \`noop\` rows)`]
    : []
  return [
    `- accelerator: **${accelerator}**${emulated}`,
    `- measured on: ${cpu}, ${cores} cores, ${memory}, Linux ${kernel}, Node ${node}, udev ${udev ? 'on' : 'off'}`,
    ...where,
    `- pool: 64 KiB blocks, 256 MiB of metadata, sparse files behind loop devices (${backing})`,
    ...(store ? [`- records of the layer stores: ${store}${/tmpfs/.test(store) ? UNSYNCED : ''}`] : []),
    `- ${rounds} rounds, a fresh process for each trial, peers interleaved; medians per operation; ${date}`,
    '- the first third of the samples of each trial is warm-up and not counted, for every peer',
  ]
}

/** What every asynchronous call pays where these figures were taken, whatever it asks of the kernel. */
function floorLines(results) {
  const noop = results.find(result => result.name === 'noop-async')
  const line = (where, { ours, peers }) =>
    `- ${where}: ${readable(ours)} µs; \`c-async\` ${readable(peers['c-async'])} µs, \`c\` ${readable(peers.c)} µs`
  const lines = [
    ...(noop?.guest ? [line('in the virtual machine', noop.guest)] : []),
    ...(noop?.ours ? [line(noop.where ? 'on the host' : 'here', noop)] : []),
  ]
  if (lines.length === 0) return []
  return [
    '## Why some targets are not reached',
    '',
    'A call runs on a thread and returns through the event loop, so JavaScript never waits. For the least expensive ioctl,',
    'one after the other, this costs',
    '',
    ...lines,
    '',
    'The share of `c-async` is the cost of waking a sleeping processor twice on this machine. Each row with one call after',
    'the other contains this cost once for each call. `status-batch` creates 100 JavaScript objects and `list-10k` 10 000,',
    'with their texts, where `c` only points at them. In the rows with concurrent calls, 64 threads and the event loop share',
    'the processors.',
    '',
  ]
}

export function pageText(report, drawn) {
  return [
    '# Benchmark',
    '',
    '[Documentation](README.md)',
    '',
    'Written by `npm run bench -- --page` from the last run; the figures are in [results.json](benchmark/results.json).',
    '',
    ...machineLines(report),
    '',
    'Peers: `c` is a C program that calls ioctls with one thread, `c-64` the same with 64 threads. `c-async` hands each call',
    'to a second thread and sleeps in epoll until it is done, which is the minimum cost for a caller that may not block.',
    '`libdevmapper` is the same C program with that library instead of ioctls, without udev cookies and nodes, and with one',
    'thread, because the library allows no more. `dmsetup` is one process of it for each step, started from Node with',
    '`execFile`, and `dmsetup-all` one process for all volumes.',
    ...(report.machine.accelerator === 'tcg' ? [EMULATED] : []),
    '',
    ...tableOf(complete(report.results)),
    '',
    ...drawn.flatMap(picture => [picture, '']),
    ...floorLines(report.results),
    '## Why concurrent calls are faster',
    '',
    'Activating and removing a thin volume each wait for a grace period of the kernel. These waits overlap, so 64 of them take',
    'little longer than one: `activateMany` and `deactivateMany` use this. The kernel processes the messages of a pool one at',
    'a time, whoever sends them.',
    '',
    '## How the events and the long list are measured',
    '',
    '`event-latency`: a C program renames a device, which raises an event, and records the time just before. The listener is',
    'another process and records the time at which it knows the device: here in the `change` callback of `watchDevices`, in',
    '`c` after poll, DM_DEV_ARM_POLL and DM_LIST_DEVICES, in `c-async` after the thread that did so has woken another. Both',
    'use CLOCK_MONOTONIC, and both sides sleep for 20 ms before each event. `pool.events()` also reads the status, which is',
    'two more calls.',
    '',
    '`list-10k`: 10 000 devices without tables, with uuids, exist during all rounds. `listDevices()` returns an object for',
    'each; `c` returns pointers into the kernel’s reply. Each list is checked outside the timing: every device once, with its',
    'own uuid; and a prefix filter returns its devices and no other.',
    '',
    ...loopLines,
    ...storeLines,
    ...metadataLines,
    ...transferLines,
    '## Repeat the benchmark',
    '',
    '```sh',
    'npm run bench                               # all metrics, five rounds',
    'npm run bench -- --only message,activate    # some of them',
    'npm run bench -- --json FILE --rounds 9     # the figures as JSON',
    'npm run bench -- --store disk --only prepare   # the store’s records on a disk',
    'npm run bench -- --page                     # this page and its pictures',
    '```',
    '',
    'With the device mapper and root, it measures on the machine itself, with a temporary pool. Otherwise it measures the',
    'inexpensive ioctl on the host and the rest in the virtual machine.',
    '',
  ].join('\n')
}

/** As the format check wants it. */
async function writeFormatted(path, text) {
  writeFileSync(path, await format(text, { ...(await resolveConfig(path)), filepath: path }))
}

export async function writePage(report) {
  const folder = join(docs, 'benchmark')
  mkdirSync(folder, { recursive: true })
  for (const { file } of pictures) rmSync(join(folder, file), { force: true })
  await writeFormatted(join(folder, 'results.json'), JSON.stringify(report))
  await writeFormatted(join(docs, 'benchmark.md'), pageText(report, draw(report.results)))
}
