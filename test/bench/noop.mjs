// The cheap ioctl alone; needs neither device mapper nor root, so that the stack's own cost is known on any machine.
//   node test/bench/noop.mjs [--json FILE] [--rounds N]
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { collect } from './collect.mjs'
import { describeMachine } from './machine.mjs'
import { buildPeer } from './process.mjs'
import { printReport } from './report.mjs'
import { noopTrial } from './trials.mjs'

/** The results of this very machine, marked as such: in the guest the same metrics have other figures. */
export async function measureNoop({ rounds, peers, progress }) {
  buildPeer('c')
  const entry = noopTrial({ withDmsetup: false })
  const collection = await collect({ entries: [entry], rounds, labels: peers, pool: {}, progress })
  return collection.results(entry.metrics).map(result => ({ ...result, where: 'host' }))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { json: { type: 'string' }, rounds: { type: 'string', default: '5' } } })
  const results = await measureNoop({ rounds: Number(values.rounds), progress: () => {} })
  const report = { machine: describeMachine(), results }
  printReport(report)
  if (values.json) writeFileSync(values.json, JSON.stringify(report, null, 2) + '\n')
}
