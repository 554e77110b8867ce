// The trials of forks, for the table in trials.mjs.

/** A disk of 1 GiB with 500 pieces of data of 64 KiB. */
const DISK = { pieces: 500, piece: 65_536 }
const EXTENTS = { pool: 'dmthinbench-extents', sectors: 2 ** 20 * 128, repeats: 9 }
const STAGE = { program: 'ours', before: 'extents-make', after: 'extents-unmake', options: EXTENTS }
const MANY = 1000

const DEVICES = ['xfs', 'btrfs', 'dm-snapshot', 'containerd']
const oneFork = disk => `one fork of a disk with ${disk}, until its device is open`
const FLAT = { atMost: 1.5, peer: 'one extent' }
const REFLINK = { ahead: ['xfs', 'btrfs'] }
const AS_LOOP = {
  targets: [{ atMost: 1 / 0.95, peer: 'loop' }],
  reason: 'the same program reads and writes for all: the difference is the thin target of the kernel',
}

const onFiles = options => ({
  xfs: ['files', { ...options, kind: 'xfs' }],
  btrfs: ['files', { ...options, kind: 'btrfs' }],
})

/** @param {boolean} quick a fifth of the forks */
export function forkTrials(quick) {
  const many = { ...DISK, count: quick ? 200 : MANY, threads: 64 }
  // The first is warm-up. The others take minutes, and compile nothing while they run.
  const repeated = { ...many, repeats: 3 }
  const one = { ...DISK, repeats: 6 }
  const steady = { ...one, threads: 1 }
  return [
    {
      trial: 'fork',
      // The snapshotter of containerd has no fork: its layers have a committed parent.
      rename: { 'prepare-100': 'fork-1000', 'remove-100-gone': 'fork-gone' },
      peers: {
        ours: ['ours', repeated],
        'c-64': ['c', repeated],
        ...onFiles(many),
        'dm-snapshot': ['c', repeated, 'fork-cow'],
        containerd: ['containerd', { count: 20 }, 'prepare-100'],
      },
      rows: {
        'fork-1000': {
          what: 'one live disk to 1 000 opened devices, for each',
          operation: 'fork',
          targets: [{ ahead: DEVICES }, { atMost: 1.25, peer: 'c-64' }],
          reason: 'floor: `c-64`, the same ioctls without a library',
        },
        'fork-gone': {
          what: 'all 1 000 removed and their space back, for each',
          targets: [{ ahead: DEVICES }],
          reason:
            'floor: `c-64`, DM_DEV_REMOVE and `delete` for each: the kernel removes the mappings before it answers',
        },
        'fork-first-write': {
          what: 'the first 4 KiB of a fork at a random place with data, with fdatasync',
          reason: 'a block is copied and the metadata committed: `c-64` pays the same',
        },
      },
    },
    { trial: 'fork-blocks', also: ['fork-first-write'], peers: { blocks: ['ours', { ...DISK, count: 64 }] } },
    {
      trial: 'extents',
      peers: { ours: ['ours', EXTENTS], c: ['c', EXTENTS], ...onFiles({ repeats: 9 }) },
      stage: STAGE,
      rows: {
        'fork-extents-1': {
          what: oneFork('one extent'),
          targets: [REFLINK],
          reason: 'floor: `c`, which suspends the origin; a clone of a file suspends nothing',
        },
        'fork-extents-10k': { what: oneFork('10 000 extents'), targets: [FLAT, REFLINK] },
      },
    },
    {
      // Minutes for the file systems.
      trial: 'most-extents',
      rounds: 1,
      limitMs: 600_000,
      peers: { ours: ['ours', EXTENTS], c: ['c', EXTENTS], ...onFiles({}) },
      stage: STAGE,
      rows: { 'fork-extents-1m': { what: oneFork('2^20 extents'), targets: [FLAT, REFLINK] } },
    },
    {
      trial: 'steady',
      peers: {
        ours: ['ours', one],
        loop: ['files', { ...steady, kind: 'loop' }],
        ...onFiles(steady),
        'dm-snapshot': ['c', steady, 'steady-cow'],
      },
      rows: {
        'fork-write': { what: '64 MiB written to a fork that has written them before', ...AS_LOOP },
        'fork-read': { what: '64 MiB read from it', ...AS_LOOP },
      },
    },
    {
      trial: 'reset',
      peers: { ours: ['ours', { count: 24 }], c: ['c', { count: 24 }] },
      rows: {
        'fork-reset': {
          what: 'reset of an open layer to its parent, in place',
          targets: [
            { atMost: 2, peer: 'activation' },
            { atMost: 1, peer: 'remove + prepare' },
          ],
          reason:
            'a new table for an open device waits for three grace periods of the kernel: `c` loads one, a reset two, so that the device keeps its uuid, which names the thin id of the layer',
        },
      },
    },
    {
      trial: 'warm',
      peers: { ours: ['ours', { count: 48, repeats: 3 }], 'c-record': ['c', { count: 48, async: 1 }] },
      rows: {
        'fork-warm': {
          what: 'a warm layer, one at a time',
          targets: [{ below: 2 }],
          reason: 'floor: `c-record`, the record alone; those of a burst share a transaction',
        },
        'fork-warm-burst': { what: '48 warm layers at once, for each', targets: [{ below: 1.2 }] },
      },
    },
    ...[1, 64, MANY].map(active => ({
      trial: 'growth',
      peers: { ours: ['ours', { repeats: active, count: active < MANY ? 10_000 : 5000 }] },
      // Each growth is as long as there are active volumes.
      ...(active >= MANY && { rounds: 2, limitMs: 600_000 }),
      rows: {
        [`fork-growth-${active}`]: {
          what: `a write while a keeper grows the pool, ${active} active volume${active > 1 ? 's' : ''}, 99.9th percentile`,
          reason: 'to grow, the kernel suspends each active volume, one after the other',
        },
      },
    })),
  ]
}
