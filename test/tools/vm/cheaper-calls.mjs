// The library that makes calls cheaper in guests of User-Mode Linux (cheaper-calls.c says which), compiled into the cache.
// Tests pass without it, in more time: where it cannot be compiled, they run without.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { cacheDir } from './cache.mjs'

const SOURCE = join(import.meta.dirname, 'cheaper-calls.c')
/** What a processor must promise of its counter, as /proc/cpuinfo has it. */
const STEADY = ['constant_tsc', 'nonstop_tsc']

/** @returns {string | undefined} its file, or undefined if this machine cannot have it */
export function cheaperCalls(flags = processorFlags()) {
  if (!STEADY.every(flag => flags.includes(flag))) return undefined
  const hash = createHash('sha256').update(readFileSync(SOURCE)).digest('hex').slice(0, 16)
  const folder = join(cacheDir(), 'uml')
  const file = join(folder, `cheaper-calls-${hash}.so`)
  if (existsSync(file)) return file
  mkdirSync(folder, { recursive: true })
  const made = `${file}.${process.pid}`
  const { status } = spawnSync('cc', ['-O2', '-shared', '-fPIC', '-o', made, SOURCE], { stdio: 'ignore' })
  if (status !== 0) return undefined
  renameSync(made, file)
  return file
}

/** @returns {string[]} */
function processorFlags() {
  return /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1].split(' ') ?? []
}
