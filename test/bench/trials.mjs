// What is measured, with whom, and how far it should get. The runner only walks this table.

import { metadataMetrics, metadataTrials } from './metadata-trials.mjs'
import { forkMetrics, forkTrials } from './fork-trials.mjs'
import { storeMetrics, storeTrials } from './store-trials.mjs'
import { transferMetrics, transferTrials } from './transfer-trials.mjs'

const MANY = 10_000

/**
 * One entry is one kind of process. `peers` gives each label its program, its options and, if it is another than the
 * entry's, its trial; `metrics` are the names of the rows. `rename` gives them to figures that a program calls otherwise.
 * `combine` folds what one process reported into one figure under the entry's own metric. `rounds` is the most rounds, and
 * `limitMs` the limit, of an entry that takes minutes. `stage` is run by a program before the entry's rounds, and taken
 * down after them.
 */
export function trialTable({ bigMegabytes, quick }) {
  const big = sizeLabel(bigMegabytes)
  return [
    {
      trial: 'layers',
      metrics: ['message', 'activate', 'remove'],
      peers: {
        ours: ['ours', { count: 300 }],
        c: ['c', { count: 300 }],
        'c-async': ['c', { count: 300, async: 1 }],
        'c-locks': ['c', { count: 300, async: 1, locks: 1 }],
        libdevmapper: ['libdevmapper', { count: 300 }],
        dmsetup: ['dmsetup', { count: 15 }],
      },
    },
    {
      trial: 'ready',
      metrics: ['snapshot-ready'],
      peers: {
        ours: ['ours', { count: 36 }],
        c: ['c', { count: 36, threads: 36 }],
        'c-async': ['c', { count: 36, threads: 36, async: 1 }],
        'c-locks': ['c', { count: 36, threads: 36, async: 1, locks: 1 }],
        libdevmapper: ['libdevmapper', { count: 36 }],
        dmsetup: ['dmsetup', { count: 12 }],
      },
    },
    {
      trial: 'status',
      metrics: ['status-batch'],
      peers: {
        ours: ['ours', { count: 100, repeats: 20 }],
        c: ['c', { count: 100, threads: 64, repeats: 20 }],
        libdevmapper: ['libdevmapper', { count: 100, repeats: 20 }],
        dmsetup: ['dmsetup', { count: 100, repeats: 1 }],
      },
    },
    {
      trial: 'wide',
      metrics: ['activate-64', 'remove-64'],
      peers: {
        ours: ['ours', { count: 64, repeats: 6 }],
        'c-64': ['c', { count: 64, threads: 64, repeats: 6 }],
        c: ['c', { count: 64, threads: 1 }],
        libdevmapper: ['libdevmapper', { count: 64, threads: 1 }], // it must not be called by two threads at once
        dmsetup: ['dmsetup', { count: 64 }],
      },
    },
    noopTrial({ withDmsetup: true }),
    {
      trial: 'events',
      metrics: ['event-latency'],
      peers: { ours: ['ours', { count: 60 }], c: ['c', { count: 60 }], 'c-async': ['c', { count: 60, async: 1 }] },
    },
    {
      trial: 'list',
      metrics: ['list-10k'],
      peers: { ours: ['ours', { count: MANY, repeats: 30 }], c: ['c', { count: MANY, repeats: 30 }] },
      stage: { program: 'c', before: 'make', after: 'unmake', options: { count: MANY, threads: 64 } },
    },
    {
      trial: 'layers',
      metrics: ['resident-memory'],
      combine: { 'resident-memory': ['message', 'activate'] },
      peers: {
        'ours-100MiB': ['ours', { count: 24, megabytes: 100 }],
        [`ours-${big}`]: ['ours', { count: 24, megabytes: bigMegabytes }],
        'execFile-100MiB': ['dmsetup', { count: 6, megabytes: 100 }],
        [`execFile-${big}`]: ['dmsetup', { count: 6, megabytes: bigMegabytes }],
      },
      headline: `ours-${big}`,
    },
    {
      trial: 'volumes',
      metrics: ['memory-volume'],
      rounds: 3,
      peers: { ours: ['ours', { count: MANY }] },
    },
    {
      trial: 'calls',
      metrics: ['memory-call'],
      rounds: 3,
      peers: { ours: ['ours', { count: 1000 }] },
    },
    {
      trial: 'loop',
      metrics: ['event-loop'],
      peers: {
        // Of fewer, the 99th percentile is the longest delay but one: single runs differed by a factor of three.
        ours: ['ours', { count: 64, repeats: 30 }],
        'c-64': ['beside-c', { count: 64, threads: 64, repeats: 30 }],
        dmsetup: ['dmsetup', { count: 64 }],
      },
    },
    ...storeTrials,
    ...metadataTrials,
    ...transferTrials,
    ...forkTrials(quick),
  ]
}

/** The ioctl is FIONREAD on a pipe, which every machine has; `dmsetup` has nothing cheaper than its version. */
export function noopTrial({ withDmsetup }) {
  const options = { count: 20_000, threads: 64, repeats: 5 }
  return {
    trial: 'noop',
    metrics: ['noop-async', 'noop-async-64'],
    peers: {
      ours: ['ours', options],
      c: ['c', options],
      'c-async': ['c', { ...options, async: 1 }],
      ...(withDmsetup ? { dmsetup: ['dmsetup', { count: 64 }] } : {}),
    },
    // The C program reports its 64 threads under the same metric; its label says so.
    relabel: { 'noop-async-64': { c: 'c-64' } },
  }
}

export function sizeLabel(megabytes) {
  return megabytes % 1024 === 0 ? `${megabytes / 1024}GiB` : `${megabytes}MiB`
}

const FLOOR = 'floor: `c-locks`, which makes the same calls of the kernel on another thread'

/**
 * The figures to reach. `atMost`: ours ≤ factor × peer. `faster`: ours × factor ≤ peer. `below`: in the unit. `on`: on this
 * kind of machine alone.
 */
const metricTable = {
  'snapshot-ready': {
    unit: 'ms',
    what: 'snapshot of an active volume and its activation, until the node opens',
    targets: [
      { on: 'uml', atMost: 1.7, peer: 'c-async' },
      { on: 'tcg', atMost: 1.15, peer: 'c' },
    ],
    reason: FLOOR,
  },
  message: {
    unit: 'ms',
    operation: 'snapshot of an inactive volume',
    what: 'create_snap alone, the origin inactive',
    targets: [
      { on: 'uml', atMost: 1.5, peer: 'c-async' },
      { on: 'tcg', atMost: 1.8, peer: 'c-async' },
      { faster: 10, peer: 'dmsetup' },
    ],
    reason: FLOOR,
  },
  'status-batch': {
    unit: 'ms',
    operation: 'statusMany',
    what: 'the status of 100 volumes',
    targets: [
      { on: 'uml', atMost: 1.1, peer: 'c' },
      { on: 'tcg', atMost: 1.3, peer: 'libdevmapper' },
      { faster: 10, peer: 'dmsetup' },
    ],
    reason:
      'the batch is handed to another thread and back, once, as a call of `message` is; the rest makes 100 results',
  },
  activate: {
    unit: 'ms',
    operation: 'activate',
    what: 'one call after the other',
    targets: [
      { on: 'uml', atMost: 1.5, peer: 'c-async' },
      { on: 'tcg', atMost: 1.15, peer: 'c' },
      { faster: 2, peer: 'dmsetup' },
    ],
    reason: FLOOR,
  },
  remove: {
    unit: 'ms',
    operation: 'deactivate',
    what: 'one call after the other',
    targets: [
      { on: 'uml', atMost: 1.3, peer: 'c-async' },
      { on: 'tcg', atMost: 1.1, peer: 'c' },
      { faster: 1.4, peer: 'dmsetup' },
    ],
    reason: `${FLOOR}; \`dmsetup\` removes without the suspend`,
  },
  'activate-64': {
    unit: 'ms',
    operation: 'activateMany',
    what: '64 concurrent calls, wall time divided by 64',
    targets: [
      { on: 'uml', atMost: 1.4, peer: 'c-64' },
      { on: 'tcg', atMost: 1.1, peer: 'c-64' },
      { on: 'tcg', faster: 10, peer: 'c' },
      { on: 'tcg', faster: 8, peer: 'libdevmapper' },
    ],
  },
  'remove-64': {
    unit: 'ms',
    operation: 'deactivateMany',
    what: '64 concurrent calls, wall time divided by 64',
    targets: [
      { on: 'uml', atMost: 1.4, peer: 'c-64' },
      { on: 'tcg', atMost: 1.1, peer: 'c-64' },
      { faster: 12, peer: 'c' },
      { faster: 8, peer: 'libdevmapper' },
    ],
  },
  'noop-async': {
    unit: 'µs',
    what: 'one inexpensive ioctl through the whole stack, one call after the other',
    targets: [{ below: 25, where: 'host' }],
  },
  'noop-async-64': {
    unit: 'µs',
    what: 'one inexpensive ioctl through the whole stack, 64 in flight',
    targets: [{ below: 3, where: 'host' }],
  },
  'event-latency': {
    unit: 'ms',
    what: 'from an event in the kernel to the callback',
    targets: [{ atMost: 1.5, peer: 'c-async' }],
  },
  'list-10k': {
    unit: 'ms',
    what: 'all of 10 000 mapped devices: names, uuids, numbers, event numbers',
    targets: [{ atMost: 1.5, peer: 'c' }],
  },
  'resident-memory': {
    unit: 'ms',
    what: 'create_snap and activation in a process with large resident memory; ours with the larger amount',
    targets: [{ atMost: 1.1, peer: 'ours-100MiB' }],
  },
  'memory-volume': {
    unit: 'KiB',
    what: 'memory of JavaScript for each of 10 000 volumes of `pool.volumes()`; `resident`: of the process',
    targets: [],
  },
  'memory-call': {
    unit: 'KiB',
    what: 'memory of JavaScript for each of 1 000 activations that wait for the lock of the pool; `resident`: of the process, with its threads',
    targets: [],
  },
  'event-loop': {
    unit: 'ms',
    what: 'delay of the event loop, 99th percentile, while 64 activations and 64 removals run',
    targets: [
      { on: 'uml', atMost: 1.5, peer: 'c-64' },
      { on: 'tcg', below: 9 },
    ],
  },
  ...forkMetrics,
  ...storeMetrics,
  ...metadataMetrics,
  ...transferMetrics,
}

export const metricNames = Object.keys(metricTable)
export const metricOf = name => metricTable[name]

/** The rows that `--only` names, also by a beginning that ends in "-". @param {string} [only] default all rows */
export function wantedMetrics(only) {
  if (only === undefined) return metricNames
  const words = only.split(',')
  const isMeant = (word, name) => name === word || (word.endsWith('-') && name.startsWith(word))
  const unknown = words.filter(word => !metricNames.some(name => isMeant(word, name)))
  if (unknown.length > 0) throw new Error(`unknown metric ${unknown.join(', ')}; known: ${metricNames.join(', ')}`)
  return metricNames.filter(name => words.some(word => isMeant(word, name)))
}
