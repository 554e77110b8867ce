// The rows of the reader of metadata alone; they need neither device mapper nor root.
//   node test/bench/metadata.mjs [--json FILE] [--rounds N] [--directory FOLDER]
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { completePath } from '../tools/setup/needs.mjs'
import { ensureTools } from '../tools/setup/tools.mjs'
import { collect } from './collect.mjs'
import { describeMachine } from './machine.mjs'
import { metadataTrials } from './metadata-trials.mjs'
import { printReport } from './report.mjs'

const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    directory: { type: 'string', default: tmpdir() },
  },
})
completePath()
await ensureTools(['guest'])
const directory = mkdtempSync(join(values.directory, 'dmthinbench-'))
try {
  const progress = text => process.stderr.write(`bench: ${text}\n`)
  const rounds = Number(values.rounds)
  const collection = await collect({ entries: metadataTrials, rounds, pool: { directory }, progress })
  const results = collection.results(metadataTrials.flatMap(({ metrics }) => metrics))
  const report = { machine: describeMachine(), rounds, results }
  printReport(report)
  if (values.json) writeFileSync(values.json, JSON.stringify(report, null, 2) + '\n')
} finally {
  rmSync(directory, { recursive: true, force: true })
}
