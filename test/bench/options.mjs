// The options of `npm run bench`. They are read before anything is fetched, built or started.
import { parseArgs } from 'node:util'
import { wantedMetrics, wantedPeers } from './trials.mjs'

const ROUNDS = 5
const MACHINES = ['uml', 'qemu']
const PLACES = ['tmp', 'disk']

const options = /** @type {const} */ ({
  json: { type: 'string' },
  rounds: { type: 'string' },
  only: { type: 'string' },
  peers: { type: 'string' },
  vm: { type: 'string' },
  backing: { type: 'string', default: 'tmp' },
  store: { type: 'string', default: 'disk' },
  page: { type: 'boolean', default: false },
  quick: { type: 'boolean', default: false },
  quiet: { type: 'boolean', default: false },
  compare: { type: 'boolean', default: false },
  publish: { type: 'string' },
})

/** Each of `words` is one of `known`. */
function check(option, words, known) {
  if (words.every(word => known.includes(word))) return
  throw new Error(`--${option} is ${words.join(',')}, and must be of ${known.join(', ')}`)
}

/** @param {string[]} args */
export function readOptions(args) {
  const parsed = parseArgs({ args, options, allowPositionals: true })
  const { positionals } = parsed
  /** @type {Record<string, any>} */
  const values = parsed.values
  if (values.compare !== (positionals.length === 2)) throw new Error('--compare needs two files, and nothing else does')
  if (values.page && values.quick) throw new Error('the figures of --quick are not for the page')
  const rounds = Number(values.rounds ?? ROUNDS)
  if (!(Number.isInteger(rounds) && rounds > 0)) throw new Error(`--rounds is ${values.rounds}, and must be a number`)
  const machines = values.vm?.split(',')
  check('vm', machines ?? [], MACHINES)
  check('backing', [values.backing], PLACES)
  check('store', [values.store], PLACES)
  return {
    ...values,
    files: positionals,
    machines: machines ?? [undefined],
    only: wantedMetrics(values.only),
    rounds,
    /** Without a number, rows that take minutes have fewer rounds. */
    fewer: values.rounds === undefined,
    peers: wantedPeers(values.peers),
    /** Whether nothing is measured. */
    reads: values.compare || values.publish !== undefined,
  }
}
