// What is measured, with whom, and how far it should get. The runner only walks this table.

import { forkTrials } from './fork-trials.mjs'
import { storeTrials } from './store-trials.mjs'

const MANY = 10_000
const ASYNC = { async: 1 }
const LOCKS = { async: 1, locks: 1 }
const C_LOCKS = 'floor: `c-locks`, which makes the same calls of the kernel on another thread'

/** Options that all of some peers take, each with its own in addition: a peer is its program, its options, its trial. */
function withOptions(common, peers) {
  const all = Object.entries(peers).map(([label, [program, own, trial]]) => [
    label,
    [program, { ...common, ...own }, ...(trial ? [trial] : [])],
  ])
  return Object.fromEntries(all)
}

/** The calls of one process after another, in a library, in C and in processes of dmsetup. */
const oneByOne = (count, dmsetup) =>
  withOptions({ count }, { ours: ['ours'], c: ['c'], libdevmapper: ['libdevmapper'], dmsetup: ['dmsetup', dmsetup] })

/**
 * One entry is one kind of process. `peers` gives each label its program, its options and, if it is another than the
 * entry's, its trial. `rows` are what it measures, and `also` the names of rows of other entries. `rename` gives names of
 * rows to figures that a program calls otherwise. `combine` folds what one process reported into one figure under the
 * entry's own row. `rounds` is the most rounds, and `limitMs` the limit, of an entry that takes minutes. `stage` is run by
 * a program before the entry's rounds, and taken down after them.
 *
 * A row has a unit, what it measures, the operation whose system calls are documented, and figures to reach: `atMost`:
 * ours ≤ factor × peer. `faster`: ours × factor ≤ peer. `longer`: ours ≤ peer + so much in the unit. `below`: in the unit.
 * `ahead`: of each of these peers. `on`: on this kind of machine alone. `reason` explains a figure that is not reached.
 */
function poolTrials(bigMegabytes) {
  const big = sizeLabel(bigMegabytes)
  return [
    {
      trial: 'ready',
      peers: {
        ...oneByOne(36, { count: 12 }),
        c: ['c', { count: 36, threads: 36 }],
        'c-async': ['c', { count: 36, threads: 36, ...ASYNC }],
        'c-locks': ['c', { count: 36, threads: 36, ...LOCKS }],
      },
      rows: {
        'snapshot-ready': {
          what: 'snapshot of an active volume and its activation, until the node opens',
          targets: [
            { on: 'uml', atMost: 1.7, peer: 'c-async' },
            { on: 'tcg', atMost: 1.15, peer: 'c' },
          ],
          reason: C_LOCKS,
        },
      },
    },
    {
      trial: 'layers',
      peers: {
        ...oneByOne(300, { count: 15 }),
        'c-async': ['c', { count: 300, ...ASYNC }],
        'c-locks': ['c', { count: 300, ...LOCKS }],
      },
      rows: {
        message: {
          operation: 'snapshot of an inactive volume',
          what: 'create_snap alone, the origin inactive',
          targets: [
            { on: 'uml', atMost: 1.5, peer: 'c-async' },
            { on: 'tcg', atMost: 1.8, peer: 'c-async' },
            { faster: 10, peer: 'dmsetup' },
          ],
          reason: C_LOCKS,
        },
        activate: {
          operation: 'activate',
          what: 'activation, one call after the other',
          targets: [
            { on: 'uml', atMost: 1.5, peer: 'c-async' },
            { on: 'tcg', atMost: 1.15, peer: 'c' },
            { faster: 2, peer: 'dmsetup' },
          ],
          reason: C_LOCKS,
        },
        remove: {
          operation: 'deactivate',
          what: 'deactivation, one call after the other',
          targets: [
            { on: 'uml', atMost: 1.3, peer: 'c-async' },
            { on: 'tcg', atMost: 1.1, peer: 'c' },
            { faster: 1.4, peer: 'dmsetup' },
          ],
          reason: `${C_LOCKS}; \`dmsetup\` removes without the suspend`,
        },
      },
    },
    {
      trial: 'wide',
      peers: {
        ours: ['ours', { count: 64, repeats: 6 }],
        'c-64': ['c', { count: 64, threads: 64, repeats: 6 }],
        c: ['c', { count: 64, threads: 1 }],
        libdevmapper: ['libdevmapper', { count: 64, threads: 1 }], // it must not be called by two threads at once
        dmsetup: ['dmsetup', { count: 64 }],
      },
      rows: {
        'activate-64': {
          operation: 'activateMany',
          what: '64 concurrent activations, wall time divided by 64',
          targets: [
            { on: 'uml', atMost: 1.4, peer: 'c-64' },
            { on: 'tcg', atMost: 1.1, peer: 'c-64' },
            { on: 'tcg', faster: 10, peer: 'c' },
            { on: 'tcg', faster: 8, peer: 'libdevmapper' },
          ],
        },
        'remove-64': {
          operation: 'deactivateMany',
          what: '64 concurrent deactivations, wall time divided by 64',
          targets: [
            { on: 'uml', atMost: 1.4, peer: 'c-64' },
            { on: 'tcg', atMost: 1.1, peer: 'c-64' },
            { faster: 12, peer: 'c' },
            { faster: 8, peer: 'libdevmapper' },
          ],
        },
      },
    },
    {
      trial: 'status',
      peers: {
        ...oneByOne(100, { repeats: 1 }),
        ours: ['ours', { count: 100, repeats: 20 }],
        c: ['c', { count: 100, threads: 64, repeats: 20 }],
        libdevmapper: ['libdevmapper', { count: 100, repeats: 20 }],
      },
      rows: {
        'status-batch': {
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
      },
    },
    noopTrial,
    {
      trial: 'events',
      peers: withOptions({ count: 60 }, { ours: ['ours'], c: ['c'], 'c-async': ['c', ASYNC] }),
      rows: {
        'event-latency': {
          what: 'from an event in the kernel to the callback',
          targets: [{ atMost: 1.5, peer: 'c-async' }],
        },
      },
    },
    {
      trial: 'list',
      peers: withOptions({ count: MANY, repeats: 30 }, { ours: ['ours'], c: ['c'] }),
      stage: { program: 'c', before: 'make', after: 'unmake', options: { count: MANY, threads: 64 } },
      rows: {
        'list-10k': {
          what: 'all of 10 000 mapped devices: names, uuids, numbers, event numbers',
          targets: [{ atMost: 1.5, peer: 'c' }],
        },
      },
    },
    {
      trial: 'layers',
      combine: { 'resident-memory': ['message', 'activate'] },
      peers: {
        'ours-100MiB': ['ours', { count: 24, megabytes: 100 }],
        [`ours-${big}`]: ['ours', { count: 24, megabytes: bigMegabytes }],
        'execFile-100MiB': ['dmsetup', { count: 6, megabytes: 100 }],
        [`execFile-${big}`]: ['dmsetup', { count: 6, megabytes: bigMegabytes }],
      },
      headline: `ours-${big}`,
      rows: {
        'resident-memory': {
          what: 'create_snap and activation in a process with large resident memory; ours with the larger amount',
          targets: [{ atMost: 1.1, peer: 'ours-100MiB' }],
        },
      },
    },
    {
      trial: 'loop',
      peers: {
        // Of fewer, the 99th percentile is the longest delay but one: single runs differed by a factor of three.
        ours: ['ours', { count: 64, repeats: 30 }],
        'c-64': ['beside-c', { count: 64, threads: 64, repeats: 30 }],
        dmsetup: ['dmsetup', { count: 64 }],
      },
      rows: {
        'event-loop': {
          what: 'delay of the event loop, 99th percentile, while 64 activations and 64 removals run',
          targets: [
            { on: 'uml', atMost: 1.5, peer: 'c-64' },
            { on: 'tcg', below: 9 },
          ],
        },
      },
    },
  ]
}

/** The ioctl is FIONREAD on a pipe, which every machine has. */
export const noopTrial = {
  trial: 'noop',
  metrics: ['noop-async', 'noop-async-64'],
  peers: withOptions({ count: 20_000, threads: 64, repeats: 5 }, { ours: ['ours'], c: ['c'], 'c-async': ['c', ASYNC] }),
  // The C program reports its 64 threads under the same metric; its label says so.
  relabel: { 'noop-async-64': { c: 'c-64' } },
  rows: {
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
  },
}

/** Measured on the machine itself, since it needs no kernel. The peers have no part of ours, and the same times in each row. */
export const startTrial = {
  trial: 'start',
  peers: Object.fromEntries(['ours', 'node', 'better-sqlite3'].map(kind => [kind, ['start', { kind, count: 9 }]])),
  rows: {
    'start-index': { what: "a process of Node with `require('dm-thin')`", targets: [{ longer: 35, peer: 'node' }] },
    'start-store': {
      what: "a process of Node with `require('dm-thin/store')`",
      targets: [{ longer: 50, peer: 'node' }],
    },
    'start-help': { what: '`dm-thin --help`', targets: [{ atMost: 1.5, peer: 'node' }] },
    'start-files': { unit: 'files', what: "files that `require('dm-thin/store')` loads", targets: [{ below: 13 }] },
  },
}

export function sizeLabel(megabytes) {
  return megabytes % 1024 === 0 ? `${megabytes / 1024}GiB` : `${megabytes}MiB`
}

const named = entry => ({ ...entry, metrics: [...Object.keys(entry.rows ?? {}), ...(entry.also ?? [])] })

export function trialTable({ bigMegabytes = 2048, quick = false } = {}) {
  return [...poolTrials(bigMegabytes), ...storeTrials, ...forkTrials(quick), startTrial].map(named)
}

const all = trialTable()
const rows = Object.assign({}, ...all.map(entry => entry.rows))

/** The names of the rows, in the order of the page. */
export const metricNames = Object.keys(rows)
export const metricOf = name => ({ unit: 'ms', targets: [], ...rows[name] })

const labels = [
  ...new Set(all.flatMap(({ peers, relabel = {} }) => [peers, ...Object.values(relabel)]).flatMap(Object.keys)),
]
/** `c` names `c-64` too, and `ours` each of ours. */
export const isNamed = (names, label) => names.some(name => label === name || label.startsWith(`${name}-`))

/** The rows that `--only` names, also by a beginning that ends in "-". @param {string} [only] default all rows */
export function wantedMetrics(only) {
  if (only === undefined) return metricNames
  const words = only.split(',')
  const isMeant = (word, name) => name === word || (word.endsWith('-') && name.startsWith(word))
  const unknown = words.filter(word => !metricNames.some(name => isMeant(word, name)))
  if (unknown.length > 0) throw new Error(`unknown row ${unknown.join(', ')}; known: ${metricNames.join(', ')}`)
  return metricNames.filter(name => words.some(word => isMeant(word, name)))
}

/** The peers that `--peers` names. @param {string} [peers] default all, which is undefined */
export function wantedPeers(peers) {
  const names = peers?.split(',')
  const unknown = names?.filter(name => !labels.some(label => isNamed([name], label))) ?? []
  if (unknown.length > 0) throw new Error(`unknown peer ${unknown.join(', ')}; known: ${labels.join(', ')}`)
  return names
}
