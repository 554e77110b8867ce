// The trials of forks, for the table in trials.mjs.

/** A disk of 1 GiB with 500 pieces of data of 64 KiB. */
const DISK = { pieces: 500, piece: 65_536 }

/** @param {boolean} quick a fifth of the forks */
export function forkTrials(quick) {
  const many = { ...DISK, count: quick ? 200 : 1000 }
  return [
    {
      trial: 'fork',
      metrics: ['fork-1000', 'fork-gone', 'fork-first-write'],
      peers: {
        ours: ['ours', many],
        'c-64': ['c', { ...many, threads: 64 }],
        xfs: ['files', { ...many, threads: 64, kind: 'xfs' }],
        btrfs: ['files', { ...many, threads: 64, kind: 'btrfs' }],
      },
    },
  ]
}

export const forkMetrics = {
  'fork-1000': {
    unit: 'ms',
    what: 'one live disk to 1 000 opened devices, wall time divided by 1 000',
    targets: [{ atMost: 1.25, peer: 'c-64' }],
  },
  'fork-gone': {
    unit: 'ms',
    what: 'all 1 000 gone and their space back, divided by 1 000',
    targets: [],
  },
  'fork-first-write': {
    unit: 'ms',
    what: 'the first 4 KiB that a fork writes, at a random place with data, with fdatasync',
    targets: [],
  },
}
