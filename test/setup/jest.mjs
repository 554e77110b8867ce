// Runs jest for one part of the tests, here or in the guest, and reads its report.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { GUEST_DIED, runInGuest, TIMED_OUT } from '../vm/run.mjs'
import { openly, repository, say } from './steps.mjs'

const JEST = join(repository, 'node_modules/jest/bin/jest.js')
const results = join(repository, '.cache/results')
/** What makes devices in the kernel. */
const ON_DEVICES = ['kernel', 'fault', 'contract', 'store', 'examples', 'races', 'runtimes', 'clients', 'long']
const USUAL_LIMIT = 2100

/**
 * @param {{ title: string, projects: string[], except?: string[], filters: string[], guest: boolean, udev?: boolean,
 *   processors?: number, shard?: string, limit?: number, env?: Record<string, string>, jestEnv?: Record<string, string>, label?: string }} part
 * @returns {Promise<import('./summary.mjs').Part>}
 */
export async function runPart({ title, projects, filters, guest, ...more }) {
  const { udev = false, processors, except = [], env = {}, jestEnv = {}, label, shard } = more
  const limit = Number(process.env.DM_THIN_TEST_TIMEOUT ?? more.limit ?? USUAL_LIMIT)
  say(`\n== ${title}`)
  mkdirSync(results, { recursive: true })
  const file = join(results, `${title.replaceAll(/[^a-z0-9]+/gi, '-')}.json`)
  rmSync(file, { force: true })
  const started = Date.now()
  // In band where devices are involved: tests of one kernel must not meet each other's devices by chance.
  // Elsewhere on every processor: jest by itself leaves one, which is half of a small machine.
  const workers = projects.some(name => ON_DEVICES.includes(name)) ? '--runInBand' : '--maxWorkers=100%'
  const jest = [JEST, '--selectProjects', ...projects, workers, '--passWithNoTests', '--json', `--outputFile=${file}`]
  if (shard) jest.push(`--shard=${shard}`)
  if (except.length > 0 && filters.length === 0) jest.push('--testPathIgnorePatterns', ...except)
  const preset = Object.entries(jestEnv).map(([name, value]) => `${name}=${value}`)
  // Emulated, V8's optimizing compiler costs more than its code saves in a test that runs once: a tenth of the time.
  const node = [process.execPath, ...(guest ? ['--no-opt'] : [])]
  const plain = [...(preset.length ? ['env', ...preset] : []), ...node, ...jest, ...filters]
  // Progress goes to standard error; with --json standard output holds nothing for a person.
  const command = ['sh', '-c', 'exec "$@" >/dev/null', 'jest', ...plain]
  let note
  let status
  if (guest) {
    const colour = process.stdout.isTTY ? { FORCE_COLOR: '1' } : {}
    const run = { command, cwd: repository, udev, processors, timeout: limit, env: { ...colour, ...env } }
    status = (await runInGuest({ ...run, onOutput: label ? labelled(label) : chunk => process.stderr.write(chunk) }))
      .status
    if (status === TIMED_OUT) note = `the guest did not end within ${limit} s`
    if (status === GUEST_DIED) note = 'the guest died'
  } else {
    status = await openly(command, env)
  }
  return { title, report: read(file), status, note, seconds: (Date.now() - started) / 1000 }
}

/** Whole lines with a label before them, so that the output of two guests can be told apart. @param {string} label */
function labelled(label) {
  let rest = ''
  return chunk => {
    const lines = (rest + String(chunk)).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) process.stderr.write(`${label} ${line}\n`)
  }
}

function read(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return undefined
  }
}

/**
 * Whether the filters leave any test file of these projects: a guest need not start for none.
 * @param {string[]} projects @param {string[]} filters
 */
export function hasTests(projects, filters) {
  if (filters.length === 0) return true
  const args = [JEST, '--selectProjects', ...projects, '--listTests', ...filters]
  const { stdout } = spawnSync(process.execPath, args, { cwd: repository, encoding: 'utf8' })
  return /\.test\./.test(stdout)
}
