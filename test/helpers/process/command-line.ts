// The command line as built, run as a process.
import { existsSync } from 'node:fs'
import path from 'node:path'
import { tryRun, type Ran } from './spawned.js'

export const MAIN = path.join(__dirname, '../../../dist/cli/main.js')

/** Runs `dm-thin` with these arguments to its end. */
export function dmThin(...args: string[]): Ran {
  if (!existsSync(MAIN)) throw new Error(`${MAIN} is missing: npm run build:ts`)
  return tryRun(process.execPath, [MAIN, ...args])
}

/** Runs a command that must succeed, and returns its lines without the blanks that align columns. */
export function linesOf(...args: string[]): string[] {
  const { status, stdout, stderr } = dmThin(...args)
  if (status !== 0) throw new Error(`dm-thin ${args.join(' ')} ended with ${status}: ${stderr}`)
  return stdout
    .trimEnd()
    .split('\n')
    .map(line => line.replace(/ {2,}/g, '  '))
}

/** Runs a command with --json, and returns what it printed. `status`: its exit code. */
export function jsonOf<T>(status: number, ...args: string[]): T {
  const ran = dmThin(...args, '--json')
  if (ran.status !== status) throw new Error(`dm-thin ${args.join(' ')} ended with ${ran.status}: ${ran.stderr}`)
  return JSON.parse(ran.stdout) as T
}
