// Programs as independent checks: what the library claims, somebody else must confirm.
import { outcomeOf } from './spawner.js'

export interface Ran {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program to its end, whatever that is. */
export function tryRun(command: string, args: readonly string[], input?: string): Ran {
  const { status, stdout, stderr } = outcomeOf(command, args, input)
  return { status, stdout: stdout.toString(), stderr: stderr.toString() }
}

/** Runs a program that must succeed, and gives what it printed. */
export const run = (command: string, args: readonly string[], input?: string): string =>
  runForBytes(command, args, input).toString()

/** `run` for what is no text. */
export function runForBytes(command: string, args: readonly string[], input?: string | Uint8Array): Buffer {
  const { status, stdout, stderr } = outcomeOf(command, args, input)
  const said = stderr.length > 0 ? stderr : stdout
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}: ${said.toString()}`)
  return stdout
}
