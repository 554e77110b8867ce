// The trials of the layer store, for the table in trials.mjs.

const MANY = 10_000
const ARCHIVE = { files: 5000, least: 1, most: 8, repeats: 3 }
const IMAGE = { files: 500, least: 1, most: 8, count: 6, repeats: 3 }

export const storeTrials = [
  {
    trial: 'prepare',
    // The same samples are what `prepare-10k` is compared with: a store of few layers.
    also: ['prepare-10k'],
    peers: {
      ours: ['ours', { count: 300 }],
      c: ['c', { count: 300 }],
      'c-async': ['c', { count: 300, async: 1 }],
      'c-commit': ['c', { count: 300, commit: 1 }],
      'c-record': ['c', { count: 300, async: 1, locks: 1 }],
      containerd: ['containerd', { count: 15 }],
    },
    rows: {
      prepare: {
        operation: 'store.prepare',
        what: 'a layer with a committed parent, with its mounts, one call after the other',
        targets: [
          { on: 'uml', atMost: 4, peer: 'c-commit' },
          { on: 'tcg', atMost: 1.2, peer: 'c-commit' },
        ],
        reason: 'floor: `c-record`, which makes as many calls of the kernel: `c-commit` has no record on a disk',
      },
    },
  },
  {
    trial: 'prepare-100',
    peers: {
      ours: ['ours', { count: 100, repeats: 3 }],
      'c-64': ['c', { count: 100, threads: 64, repeats: 3 }],
      'c-record-64': ['c', { count: 100, threads: 64, repeats: 3, locks: 1 }],
      c: ['c', { count: 100, threads: 1 }],
      containerd: ['containerd', { count: 100 }],
    },
    rows: {
      'prepare-100': {
        what: '100 concurrent layers, wall time divided by 100',
        targets: [
          { on: 'uml', faster: 150, peer: 'containerd' },
          { on: 'tcg', faster: 75, peer: 'containerd' },
          { on: 'tcg', atMost: 1.2, peer: 'c-64' },
        ],
        reason: 'floor: `c-record-64`, which has records on a disk; `c-64` has none',
      },
      'remove-100': {
        what: '100 concurrent removals until all are acknowledged, divided by 100',
        targets: [{ faster: 8, peer: 'c' }],
      },
      'remove-100-gone': {
        what: 'the same until their space is free in the pool',
        targets: [{ faster: 8, peer: 'c' }],
      },
    },
  },
  {
    trial: 'import',
    peers: { ours: ['ours', ARCHIVE], containerd: ['containerd', ARCHIVE] },
    rows: {
      import: {
        what: 'an archive of 5 000 files of 1 to 8 KiB, mounted, unpacked and unmounted',
        targets: [{ faster: 2, peer: 'containerd' }],
      },
    },
  },
  {
    trial: 'import-image',
    peers: { ours: ['ours', IMAGE], containerd: ['containerd', IMAGE] },
    rows: {
      'import-image': {
        what: 'an image of 6 layers compressed with gzip, of 500 files of 1 to 8 KiB each, imported',
        targets: [{ faster: 2, peer: 'containerd' }],
      },
    },
  },
  {
    trial: 'many',
    peers: { ours: ['ours', { count: MANY, repeats: 6 }] },
    stage: { program: 'ours', before: 'many-make', after: 'many-unmake', options: { count: MANY } },
    rows: {
      'open-10k': {
        what: 'opening a store of 10 000 layers',
        targets: [{ below: 2000 }, { on: 'tcg', atMost: 1.3, peer: 'better-sqlite3' }],
      },
      'prepare-10k': {
        what: '`prepare` in a store of 10 000 layers',
        targets: [{ atMost: 1.25, peer: 'few' }],
      },
    },
  },
]
