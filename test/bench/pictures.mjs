// The pictures of the page, each of the rows of one kind of machine.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { barChart } from './chart.mjs'
import { kindsOf, resultOf, titleOf } from './results.mjs'

/** @type {{ file: string, title: string, scale: 'log' | 'linear', metrics: string[] }[]} */
const pictures = [
  {
    file: 'forks.svg',
    title: 'Forks of a live disk: made, written first, removed (shorter is better)',
    scale: 'log',
    metrics: ['fork-1000', 'fork-first-write', 'fork-gone'],
  },
  {
    file: 'fork-extents.svg',
    title: 'One fork by the number of extents of its disk',
    scale: 'log',
    metrics: ['fork-extents-1', 'fork-extents-10k', 'fork-extents-1m'],
  },
  {
    file: 'fork-io.svg',
    title: '64 MiB written and read again on a fork',
    scale: 'linear',
    metrics: ['fork-write', 'fork-read'],
  },
  {
    file: 'fork-reset.svg',
    title: 'Layers used again: reset, taken from a warm set',
    scale: 'log',
    metrics: ['fork-reset', 'fork-warm', 'fork-warm-burst'],
  },
  {
    file: 'fork-growth.svg',
    title: 'A write while its pool grows, by active volumes',
    scale: 'log',
    metrics: ['fork-growth-1', 'fork-growth-64', 'fork-growth-1000'],
  },
  {
    file: 'latency.svg',
    title: 'Time per operation (shorter is better)',
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
    title: 'From an event in the kernel to its listener',
    scale: 'log',
    metrics: ['event-latency'],
  },
  {
    file: 'noop.svg',
    title: 'One inexpensive ioctl through the whole stack',
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
    title: 'Layers made and removed (shorter is better)',
    scale: 'log',
    metrics: ['prepare', 'prepare-100', 'prepare-10k', 'remove-100', 'remove-100-gone'],
  },
  {
    file: 'store-files.svg',
    title: 'Archives unpacked, layers compared, ten thousand layers',
    scale: 'log',
    metrics: ['import', 'import-mounted', 'import-large', 'import-large-mounted', 'import-image', 'diff', 'open-10k'],
  },
  {
    file: 'event-loop.svg',
    title: 'Delay of the event loop, p99, 64 activations and removals',
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

/** Of the kind of machine that has most of these rows: figures of two do not belong beside each other. */
function shownOf(published, metrics) {
  const shown = kindsOf(published).map(kind => {
    const results = metrics.map(name => resultOf(published, name, kind))
    return { kind, results: results.filter(result => result !== undefined && barsOf(result).length > 0) }
  })
  const most = Math.max(0, ...shown.map(({ results }) => results.length))
  return most === 0 ? undefined : shown.find(({ results }) => results.length === most)
}

/** Draws them into a folder. @returns {{ file: string, title: string }[]} what was drawn */
export function draw(published, folder) {
  mkdirSync(folder, { recursive: true })
  return pictures.flatMap(({ file, title, scale, metrics }) => {
    rmSync(join(folder, file), { force: true })
    const shown = shownOf(published, metrics)
    if (shown === undefined) return []
    const whole = `${title}, ${titleOf(shown.kind)}`
    const { unit } = shown.results[0]
    writeFileSync(join(folder, file), barChart({ title: whole, scale, unit, groups: groupsOf(shown.results) }))
    return [{ file, title: whole }]
  })
}
