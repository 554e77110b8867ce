// The trials of the reader of metadata, for the table in trials.mjs. They need no device mapper: a file has the metadata
// of a volume of 1 TiB in blocks of 64 KiB, of two snapshots of it with 5 000 changes, and of a volume that shares nothing.

export const MAPPINGS = 2 ** 24
export const CHANGES = 5000
const options = { count: CHANGES, repeats: 9 }

export const metadataTrials = [
  {
    trial: 'delta',
    metrics: [
      'delta-sequential',
      'delta-sequential-first',
      'delta-sequential-nodes',
      'delta-random',
      'delta-random-first',
      'delta-random-nodes',
      'delta-full',
      'delta-full-read',
      'delta-mappings',
    ],
    peers: {
      ours: ['ours-metadata', options],
      thin_delta: ['metadata-tools', { ...options, repeats: 3 }],
    },
    stage: { program: 'ours-metadata', before: 'make', after: 'unmake', options },
  },
  {
    trial: 'bookmark',
    metrics: ['bookmark-sequential', 'bookmark-random', 'bookmark-random-write', 'bookmark-random-read'],
    peers: { ours: ['ours-metadata', { repeats: 3 }] },
  },
]

const changes = 'of a volume with 16.8 million mappings and a snapshot with 5 000 changes'
const mappings = 'a bookmark of a million mappings'

export const metadataMetrics = {
  'delta-sequential': {
    unit: 'ms',
    what: `the differences ${changes} in sequence`,
    targets: [{ faster: 4, peer: 'thin_delta' }],
  },
  'delta-sequential-first': {
    unit: 'ms',
    what: 'the same, until the first difference',
    targets: [{ below: 5 }],
  },
  'delta-sequential-nodes': {
    unit: 'nodes',
    what: 'the same: nodes of 4 KiB that were read; thin_delta reads both trees',
    targets: [{ below: 61 }],
  },
  'delta-random': {
    unit: 'ms',
    what: `the differences ${changes} at random`,
    targets: [{ faster: 4, peer: 'thin_delta' }],
  },
  'delta-random-first': { unit: 'ms', what: 'the same, until the first difference', targets: [] },
  'delta-random-nodes': {
    unit: 'nodes',
    what: 'the same: nodes that were read; `differ` are those that the trees do not share',
    targets: [{ atMost: 1.1, peer: 'differ' }],
  },
  'delta-full': {
    unit: 'ms',
    what: 'the differences of two volumes with 16.8 million mappings each that share nothing',
    targets: [{ faster: 4, peer: 'thin_delta' }],
  },
  'delta-full-read': { unit: 'MiB', what: 'the same: what was read', targets: [] },
  'delta-mappings': {
    unit: 'ms',
    what: 'the mappings of a volume with 16.8 million',
    targets: [],
  },
  'bookmark-sequential': { unit: 'KiB', what: `${mappings} in sequence`, targets: [{ below: 1024 }] },
  'bookmark-random': {
    unit: 'KiB',
    what: `${mappings} at random over 16 TiB, with random times of 1000 snapshots`,
    targets: [{ below: 6 * 1024 }],
  },
  'bookmark-random-write': { unit: 'ms', what: 'the same: until it is on the disk', targets: [] },
  'bookmark-random-read': { unit: 'ms', what: 'the same: digest and mappings', targets: [] },
}
