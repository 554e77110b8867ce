// The trials of the layer store, for the table in trials.mjs.

const LAYERS = 300
const AT_ONCE = 100
const MANY = 10_000
const SMALL = { files: 5000, least: 1, most: 8, repeats: 3 }
const LARGE = { files: 4, least: 65_536, most: 65_536, repeats: 2 }
const IMAGE = { files: 500, least: 1, most: 8, count: 6, repeats: 3 }
/** A tenth of what an image's layer has, for the guest's sake. */
const TREE = { files: 20_000, least: 1, most: 1, count: 200 }

export const storeTrials = [
  {
    trial: 'prepare',
    // The same samples are what `prepare-10k` is compared with: a store of few layers.
    metrics: ['prepare', 'prepare-10k'],
    peers: {
      ours: ['ours', { count: LAYERS }],
      c: ['c', { count: LAYERS }],
      'c-async': ['c', { count: LAYERS, async: 1 }],
      'c-commit': ['c', { count: LAYERS, commit: 1 }],
      'c-record': ['c', { count: LAYERS, async: 1, locks: 1 }],
      containerd: ['containerd', { count: 15 }],
    },
  },
  {
    trial: 'prepare-100',
    metrics: ['prepare-100', 'remove-100', 'remove-100-gone'],
    peers: {
      ours: ['ours', { count: AT_ONCE, repeats: 3 }],
      'c-64': ['c', { count: AT_ONCE, threads: 64, repeats: 3 }],
      'c-record-64': ['c', { count: AT_ONCE, threads: 64, repeats: 3, locks: 1 }],
      c: ['c', { count: AT_ONCE, threads: 1 }],
      containerd: ['containerd', { count: AT_ONCE }],
    },
  },
  ...[
    ['import', SMALL],
    ['import-large', LARGE],
  ].map(([trial, archive]) => ({
    trial,
    metrics: [trial, `${trial}-mounted`],
    peers: { ours: ['ours', archive], tar: ['tar', archive], containerd: ['containerd', archive] },
  })),
  {
    trial: 'import-image',
    metrics: ['import-image'],
    peers: { ours: ['ours', IMAGE], containerd: ['containerd', IMAGE] },
  },
  {
    trial: 'diff',
    metrics: ['diff'],
    peers: {
      ours: ['ours', { count: TREE.count, repeats: 9 }],
      c: ['c', { count: TREE.count, repeats: 9 }],
    },
    stage: { program: 'ours', before: 'diff-make', after: 'diff-unmake', options: TREE },
  },
  {
    trial: 'many',
    metrics: ['open-10k', 'prepare-10k'],
    peers: { ours: ['ours', { count: MANY, repeats: 6 }] },
    stage: { program: 'ours', before: 'many-make', after: 'many-unmake', options: { count: MANY } },
  },
]

const unpacked = (what, how) => `${what}, ${how}`
const small = 'an archive of 5 000 files of 1 to 8 KiB'
const large = 'an archive of 4 files of 64 MiB'
const whole = 'mounted, unpacked and unmounted'
const mounted = 'unpacked into a mounted layer'

const beside = (atMost, faster) => [
  { atMost, peer: 'tar' },
  { faster, peer: 'containerd' },
]

const DIGEST = 'ours and containerd also take SHA-256 of the archive (`sha256`)'

export const storeMetrics = {
  prepare: {
    unit: 'ms',
    operation: 'store.prepare',
    what: 'a layer with a committed parent, with its mounts, one call after the other',
    targets: [
      { on: 'uml', atMost: 4, peer: 'c-commit' },
      { on: 'tcg', atMost: 1.2, peer: 'c-commit' },
    ],
    reason: 'floor: `c-record`, which makes as many calls of the kernel: `c-commit` has no record on a disk',
  },
  'prepare-100': {
    unit: 'ms',
    what: '100 concurrent layers, wall time divided by 100',
    targets: [
      { on: 'uml', faster: 150, peer: 'containerd' },
      { on: 'tcg', faster: 75, peer: 'containerd' },
      { on: 'tcg', atMost: 1.2, peer: 'c-64' },
    ],
    reason: 'floor: `c-record-64`, which has records on a disk; `c-64` has none',
  },
  'remove-100': {
    unit: 'ms',
    what: '100 concurrent removals until all are acknowledged, divided by 100',
    targets: [{ faster: 8, peer: 'c' }],
  },
  'remove-100-gone': {
    unit: 'ms',
    what: 'the same until their space is free in the pool',
    targets: [{ faster: 8, peer: 'c' }],
  },
  import: { unit: 'ms', what: unpacked(small, whole), targets: beside(2, 2) },
  'import-mounted': { unit: 'ms', what: unpacked(small, mounted), targets: beside(1.1, 2) },
  'import-large': { unit: 'ms', what: unpacked(large, whole), targets: beside(2, 1.3), reason: DIGEST },
  'import-large-mounted': { unit: 'ms', what: unpacked(large, mounted), targets: beside(1.1, 1.3), reason: DIGEST },
  'import-image': {
    unit: 'ms',
    what: 'an image of 6 layers compressed with gzip, of 500 files of 1 to 8 KiB each, imported',
    targets: [{ faster: 2, peer: 'containerd' }],
  },
  diff: {
    unit: 'ms',
    what: 'finding 200 changes in a layer of 20 000 files',
    targets: [{ atMost: 1.5, peer: 'c' }],
  },
  'open-10k': {
    unit: 'ms',
    what: 'opening a store of 10 000 layers',
    targets: [{ below: 2000 }, { on: 'tcg', atMost: 1.3, peer: 'better-sqlite3' }],
  },
  'prepare-10k': {
    unit: 'ms',
    what: '`prepare` in a store of 10 000 layers',
    targets: [{ atMost: 1.25, peer: 'few' }],
  },
}
