// The time of a fresh process of Node that loads a package, or nothing, and the number of files that it loads.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { Samples, range, readPlan } from '../plan.mjs'

const { plan } = readPlan(process.argv.slice(2))
const samples = new Samples()

const code = text => ['--eval', text]
const COMMANDS = {
  index: code("require('dm-thin')"),
  store: code("require('dm-thin/store')"),
  help: ['dist/cli/main.js', '--help'],
  node: code('0'),
  'better-sqlite3': code("require('better-sqlite3')"),
}
const OURS = ['index', 'store', 'help']

/** What the process writes to its stderr. */
function start(args) {
  const { status, stderr } = spawnSync(process.execPath, args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`node ${args.join(' ')} ended with status ${status}: ${stderr}`)
  return stderr
}

const filesOf = name => Number(start(['--require', join(import.meta.dirname, 'loaded-files.cjs'), ...COMMANDS[name]]))

if (plan.kind === 'ours') {
  for (const _ of range(plan.count))
    for (const name of OURS) await samples.time(`start-${name}`, () => start(COMMANDS[name]))
  samples.add('start-files', filesOf('store'))
  for (const name of ['index', 'help']) samples.add(`start-files@${name}`, filesOf(name))
} else {
  for (const _ of range(plan.count)) await samples.time('start-index', () => start(COMMANDS[plan.kind]))
  for (const name of ['store', 'help']) samples.copy('start-index', `start-${name}`)
  if (plan.kind !== 'node') samples.add('start-files', filesOf(plan.kind))
}
samples.print()
