// One trial is one fresh process: no warm code, no grown heap and no thread of an earlier trial is in its figures.
import { execFile, execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const here = dirname(fileURLToPath(import.meta.url))
export const root = join(here, '..', '..')

const TRIAL_LIMIT_MS = 300_000
const peerSources = join(here, 'peers', 'c')
const peerBinary = join(root, '.cache', 'bench', 'peer')

/** Compiles the C peer when its sources are newer; kept outside the tracked tree, so that a guest finds it ready. */
export function buildPeer() {
  const sources = readdirSync(peerSources).map(name => join(peerSources, name))
  const newest = Math.max(...sources.map(path => statSync(path).mtimeMs))
  if (existsSync(peerBinary) && statSync(peerBinary).mtimeMs > newest) return
  mkdirSync(dirname(peerBinary), { recursive: true })
  const files = sources.filter(path => path.endsWith('.c'))
  execFileSync('cc', ['-O2', '-pthread', '-D_GNU_SOURCE', '-o', peerBinary, ...files], { stdio: 'inherit' })
}

const programs = {
  c: [peerBinary],
  ours: [process.execPath, join(here, 'peers', 'ours.mjs')],
  dmsetup: [process.execPath, join(here, 'peers', 'dmsetup.mjs')],
}

/** Of what a dying program says, the line that names the fault: a stack trace has no place in results. */
function lastWords(stderr) {
  const lines = stderr.trim().split('\n')
  return lines.find(line => /^\S*Error\b/.test(line)) ?? lines[0]
}

/** Starts a peer's program for one trial and gives its samples; a failure carries what the program said. */
export function runTrial(program, trial, options) {
  const [command, ...args] = programs[program]
  const pairs = Object.entries(options).map(([key, value]) => `${key}=${value}`)
  return new Promise((resolve, reject) => {
    const limits = { timeout: TRIAL_LIMIT_MS, killSignal: 'SIGKILL', maxBuffer: 64 * 2 ** 20, cwd: root }
    execFile(command, [...args, trial, ...pairs], limits, (error, stdout, stderr) => {
      if (error) {
        const reason = error.killed ? `ended after ${TRIAL_LIMIT_MS / 1000} s` : lastWords(stderr) || error.message
        reject(new Error(`${program} ${trial}: ${reason}`))
      } else {
        resolve(JSON.parse(stdout.trim().split('\n').at(-1)))
      }
    })
  })
}
