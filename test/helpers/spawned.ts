// Programs as independent checks: what the library claims, somebody else must confirm.
import { spawnSync } from 'node:child_process'

const LIMIT_MS = 60_000

export interface Ran {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program to its end, whatever that is. In the C locale: some of their words are compared. */
export function tryRun(command: string, args: readonly string[], input?: string): Ran {
  // A sanitizer that is loaded before everything is for our own code, and slow to start.
  const ours = [command, ...args].includes(process.execPath)
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    encoding: 'utf8',
    timeout: LIMIT_MS,
    env: { ...process.env, LC_ALL: 'C', LD_PRELOAD: (ours && process.env['LD_PRELOAD']) || '' },
    ...(input === undefined ? {} : { input }),
  })
  if (error) throw error
  return { status, stdout, stderr }
}

/**
 * Several programs one after the other, below one small shell: to start a program from a process as large as jest's
 * takes longer than most of them run.
 */
export function tryRunEach(commands: readonly (readonly string[])[]): Pick<Ran, 'status' | 'stdout'>[] {
  const quoted = (word: string) => `'${word.replaceAll("'", `'\\''`)}'`
  const script = commands.map(words => `${words.map(quoted).join(' ')}; printf '\\036%d\\036' $?`).join('\n')
  const parts = run('sh', ['-c', script]).split('\x1e')
  return commands.map((_, index) => ({ stdout: parts[2 * index]!, status: Number(parts[2 * index + 1]) }))
}

/** Runs a program that must succeed, and gives what it printed. */
export function run(command: string, args: readonly string[], input?: string): string {
  const { status, stdout, stderr } = tryRun(command, args, input)
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}: ${stderr || stdout}`)
  return stdout
}
