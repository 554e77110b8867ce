// The trials of forks, for the table in trials.mjs.

/** A disk of 1 GiB with 500 pieces of data of 64 KiB. */
const DISK = { pieces: 500, piece: 65_536 }
const EXTENTS = { pool: 'dmthinbench-extents', sectors: 2 ** 20 * 128, repeats: 9 }
const STAGE = { program: 'ours', before: 'extents-make', after: 'extents-unmake', options: EXTENTS }
const MANY = 1000
const ACTIVE = [1, 64, MANY]
const THREADS = 64

/** @param {boolean} quick a fifth of the forks */
export function forkTrials(quick) {
  const many = { ...DISK, count: quick ? 200 : 1000, threads: THREADS }
  // The first is warm-up. The others take minutes, and compile nothing while they run.
  const repeated = { ...many, repeats: 3 }
  const one = { ...DISK, repeats: 6 }
  const steady = { ...one, threads: 1 }
  return [
    {
      trial: 'fork',
      metrics: ['fork-1000', 'fork-gone', 'fork-first-write'],
      // The snapshotter of containerd has no fork: its layers have a committed parent.
      rename: { 'prepare-100': 'fork-1000', 'remove-100-gone': 'fork-gone' },
      peers: {
        ours: ['ours', repeated],
        [`c-${THREADS}`]: ['c', repeated],
        xfs: ['files', { ...many, kind: 'xfs' }],
        btrfs: ['files', { ...many, kind: 'btrfs' }],
        'dm-snapshot': ['c', repeated, 'fork-cow'],
        containerd: ['containerd', { count: 20 }, 'prepare-100'],
        cp: ['files', { ...DISK, count: 9, kind: 'cp' }],
        'qemu-img': ['files', { ...DISK, count: 9, kind: 'qcow2' }],
      },
    },
    {
      trial: 'fork-blocks',
      metrics: ['fork-first-write'],
      peers: { blocks: ['ours', { ...DISK, count: 64 }] },
    },
    {
      trial: 'extents',
      metrics: ['fork-extents-1', 'fork-extents-10k'],
      peers: {
        ours: ['ours', EXTENTS],
        c: ['c', EXTENTS],
        xfs: ['files', { repeats: 9, kind: 'xfs' }],
        btrfs: ['files', { repeats: 9, kind: 'btrfs' }],
      },
      stage: STAGE,
    },
    {
      // Minutes for the file systems.
      trial: 'most-extents',
      metrics: ['fork-extents-1m'],
      rounds: 1,
      limitMs: 600_000,
      peers: {
        ours: ['ours', EXTENTS],
        c: ['c', EXTENTS],
        xfs: ['files', { kind: 'xfs' }],
        btrfs: ['files', { kind: 'btrfs' }],
      },
      stage: STAGE,
    },
    {
      trial: 'steady',
      metrics: ['fork-write', 'fork-read'],
      peers: {
        ours: ['ours', one],
        loop: ['files', { ...steady, kind: 'loop' }],
        xfs: ['files', { ...steady, kind: 'xfs' }],
        btrfs: ['files', { ...steady, kind: 'btrfs' }],
        'dm-snapshot': ['c', steady, 'steady-cow'],
      },
    },
    {
      trial: 'reset',
      metrics: ['fork-reset'],
      peers: { ours: ['ours', { count: 24 }], c: ['c', { count: 24 }] },
    },
    {
      trial: 'warm',
      metrics: ['fork-warm', 'fork-warm-burst'],
      peers: { ours: ['ours', { count: 48, repeats: 3 }], 'c-record': ['c', { count: 48, async: 1 }] },
    },
    ...ACTIVE.map(active => ({
      trial: 'growth',
      metrics: [`fork-growth-${active}`],
      peers: { ours: ['ours', { repeats: active, count: active < MANY ? 10_000 : 5000 }] },
      // Each growth is as long as there are active volumes.
      ...(active >= MANY && { rounds: 2, limitMs: 600_000 }),
    })),
  ]
}

const DEVICES = ['xfs', 'btrfs', 'dm-snapshot', 'containerd', 'cp']
const oneFork = disk => `one fork of a disk with ${disk}, until its device is open`
const FLAT = [{ atMost: 1.5, peer: 'one extent' }]
const REFLINK = [{ ahead: ['xfs', 'btrfs'] }]
const ALL_KERNEL = 'the same program reads and writes for all: the difference is the thin target of the kernel'
const AS_LOOP = [{ atMost: 1 / 0.95, peer: 'loop' }]

export const forkMetrics = {
  'fork-1000': {
    unit: 'ms',
    what: 'one live disk to 1 000 opened devices, for each',
    operation: 'fork',
    targets: [{ ahead: DEVICES }, { atMost: 1.25, peer: 'c-64' }],
    reason: 'floor: `c-64`, the same ioctls without a library',
  },
  'fork-extents-1': {
    unit: 'ms',
    what: oneFork('one extent'),
    targets: REFLINK,
    reason: 'floor: `c`, which suspends the origin; a clone of a file suspends nothing',
  },
  'fork-extents-10k': { unit: 'ms', what: oneFork('10 000 extents'), targets: [...FLAT, ...REFLINK] },
  'fork-extents-1m': { unit: 'ms', what: oneFork('2^20 extents'), targets: [...FLAT, ...REFLINK] },
  'fork-first-write': {
    unit: 'ms',
    what: 'the first 4 KiB of a fork at a random place with data, with fdatasync',
    targets: [],
    reason: 'a block is copied and the metadata committed: `c-64` pays the same',
  },
  'fork-write': {
    unit: 'ms',
    what: '64 MiB written to a fork that has written them before',
    targets: AS_LOOP,
    reason: ALL_KERNEL,
  },
  'fork-read': { unit: 'ms', what: '64 MiB read from it', targets: AS_LOOP, reason: ALL_KERNEL },
  'fork-gone': {
    unit: 'ms',
    what: 'all 1 000 removed and their space back, for each',
    targets: [{ ahead: DEVICES }],
    reason: 'floor: `c-64`, DM_DEV_REMOVE and `delete` for each: the kernel removes the mappings before it answers',
  },
  'fork-reset': {
    unit: 'ms',
    what: 'reset of an open layer to its parent, in place',
    targets: [
      { atMost: 2, peer: 'activation' },
      { atMost: 1, peer: 'remove + prepare' },
    ],
    reason:
      'a new table for an open device waits for three grace periods of the kernel: `c` loads one, a reset two, so that the device keeps its uuid, which names the thin id of the layer',
  },
  'fork-warm': {
    unit: 'ms',
    what: 'a warm layer, one at a time',
    targets: [{ below: 2 }],
    reason: 'floor: `c-record`, the record alone; those of a burst share a transaction',
  },
  'fork-warm-burst': { unit: 'ms', what: '48 warm layers at once, for each', targets: [{ below: 1.2 }] },
  ...Object.fromEntries(
    ACTIVE.map(active => [
      `fork-growth-${active}`,
      {
        unit: 'ms',
        what: `a write while a keeper grows the pool, ${active} active volume${active > 1 ? 's' : ''}, 99.9th percentile`,
        targets: [],
        reason: 'to grow, the kernel suspends each active volume, one after the other',
      },
    ]),
  ),
}
