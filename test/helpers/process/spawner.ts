// Programs started by the small shell of test/tools/runner/spawner.cjs where there is one, and by this process elsewhere.
import { execFile, spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync, readFileSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as after } from 'node:timers/promises'

export interface Outcome {
  /** Of a program that a signal has ended: 128 and its number, or null. */
  readonly status: number | null
  readonly stdout: Buffer
  readonly stderr: Buffer
}

interface Spawner {
  readonly pid: number
  readonly shell: number
  readonly folder: string
  readonly commands: number
  readonly answers: number
}

const LIMIT_MS = 60_000
const MAX_OUTPUT = 2 ** 28
const NOT_FOUND = 127
const LOOK_AGAIN_MS = 25

export const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`
const sleeper = new Int32Array(new SharedArrayBuffer(4))
const sleep = (ms: number) => Atomics.wait(sleeper, 0, 0, ms)

/** The shell of this process. What it says stays in the environment of its children, who have no part in it. */
function spawner(): Spawner | undefined {
  const place = process.env['DM_THIN_SPAWNER']
  const found = place === undefined ? undefined : (JSON.parse(place) as Spawner)
  return found?.pid === process.pid ? found : undefined
}

function nextAnswer({ answers, shell }: Spawner, command: string, limitMs: number): string {
  const until = Date.now() + limitMs
  const bytes = Buffer.alloc(64)
  for (let waits = 0; ; waits++) {
    try {
      return bytes.toString('latin1', 0, readSync(answers, bytes))
    } catch (fault) {
      if ((fault as NodeJS.ErrnoException).code !== 'EAGAIN') throw fault
    }
    if (Date.now() > until) {
      delete process.env['DM_THIN_SPAWNER']
      process.kill(-shell, 'SIGKILL')
      throw new Error(`${command} did not end within ${limitMs} ms`)
    }
    sleep(waits < 20 ? 1 : 4)
  }
}

/** Files for one program: `in`, `out`, `err` and `status`. */
const filesOf =
  ({ folder }: Spawner, id: string | number) =>
  (name: string) =>
    path.join(folder, `${name}-${id}`)

function line(file: (name: string) => string, command: string, args: readonly string[], input: Input): string {
  if (input !== undefined) writeFileSync(file('in'), input)
  const from = input === undefined ? '/dev/null' : quoted(file('in'))
  const words = [command, ...args].map(quoted).join(' ')
  return `${words} <${from} >${quoted(file('out'))} 2>${quoted(file('err'))}; echo $?`
}

function read(file: (name: string) => string, command: string, status: number): Outcome {
  const outcome = { status, stdout: readFileSync(file('out')), stderr: readFileSync(file('err')) }
  if (status === NOT_FOUND) throw new Error(`${command} was not started: ${outcome.stderr.toString()}`)
  return outcome
}

function byShell(shell: Spawner, command: string, args: readonly string[], input: Input, limitMs: number): Outcome {
  const file = filesOf(shell, 'now')
  writeSync(shell.commands, `${line(file, command, args, input)}\n`)
  return read(file, command, Number(nextAnswer(shell, command, limitMs)))
}

async function besideShell(shell: Spawner, command: string, args: readonly string[]): Promise<Outcome> {
  const file = filesOf(shell, randomUUID())
  const [temporary, status] = [file('temporary'), file('status')]
  writeSync(
    shell.commands,
    `{ ${line(file, command, args, undefined)} >${quoted(temporary)}; mv ${quoted(temporary)} ${quoted(status)}; } &\n`,
  )
  const until = Date.now() + LIMIT_MS
  while (!existsSync(status)) {
    if (Date.now() > until) throw new Error(`${command} did not end within ${LIMIT_MS} ms`)
    await after(LOOK_AGAIN_MS)
  }
  const outcome = read(file, command, Number(readFileSync(status, 'utf8')))
  for (const name of ['out', 'err', 'status']) rmSync(file(name))
  return outcome
}

type Input = string | Uint8Array | undefined

/** Runs a program to its end, whatever that is. In the C locale: some of their words are compared. */
export function outcomeOf(command: string, args: readonly string[], input?: Input, limitMs = LIMIT_MS): Outcome {
  // Of node itself a sanitizer's library may have to be loaded before everything, by the environment of this moment.
  const node = [command, ...args].includes(process.execPath)
  const shell = node ? undefined : spawner()
  if (shell) return byShell(shell, command, args, input, limitMs)
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    timeout: limitMs,
    maxBuffer: MAX_OUTPUT,
    env: environment(node),
    ...(input === undefined ? {} : { input }),
  })
  if (error) throw error
  return { status, stdout, stderr }
}

/** The same beside this process. */
export async function outcomeLater(command: string, args: readonly string[]): Promise<Outcome> {
  const shell = spawner()
  if (shell) return besideShell(shell, command, args)
  const options = { env: environment(false), timeout: LIMIT_MS, maxBuffer: MAX_OUTPUT, encoding: 'buffer' } as const
  return new Promise((fulfil, reject) => {
    const child = execFile(command, args, options, (fault, stdout, stderr) => {
      if (typeof fault?.code === 'string') reject(new Error(`${command} was not started: ${fault.message}`))
      else fulfil({ status: child.exitCode, stdout, stderr })
    })
  })
}

const environment = (node: boolean) => ({
  ...process.env,
  LC_ALL: 'C',
  LD_PRELOAD: (node && process.env['LD_PRELOAD']) || '',
})
