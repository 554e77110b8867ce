// The trials of send and receive, for the table in trials.mjs.

const options = { megabytes: 0, count: 256, repeats: 6 }

export const transferTrials = [
  {
    trial: 'transfer',
    metrics: ['send', 'receive'],
    peers: {
      ours: ['ours-transfer', options],
      direct: ['direct-io', options],
    },
  },
]

const cpu = 'ours also takes SHA-256 of each chunk, which dominates where memory is the disk'

export const transferMetrics = {
  send: {
    unit: 'ms',
    what: 'the stream of a snapshot of 256 MiB, discarded',
    targets: [
      { atMost: 1.11, peer: 'fio' },
      { atMost: 1.11, peer: 'dd-8' },
    ],
    reason: cpu,
  },
  receive: {
    unit: 'ms',
    what: 'a volume of 256 MiB from its stream in memory, until it is committed and recorded',
    targets: [
      { atMost: 1 / 0.8, peer: 'fio' },
      { atMost: 1 / 0.8, peer: 'dd-8' },
    ],
    reason: cpu,
  },
}
