// One of two processes whose calls overlap: it makes calls, and one of them can be held before a step.
import { spawn, type ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import type { Duplex } from 'node:stream'

const CHILD = path.join(__dirname, 'child.cjs')
/** A call that takes longer hangs. */
const LIMIT_MS = 60_000

/** What a call came to. */
export interface Answer {
  /** True if the step was reached before which it was to be held, perhaps in the background at the end of the call. */
  readonly wasHeld?: boolean
  readonly value?: unknown
  readonly fault?: { readonly code?: string; readonly message: string; readonly notUndone: readonly string[] }
}

export interface Request {
  readonly call: string
  readonly input: unknown
}

/** A call that is held before the nth of these operations. */
export interface Hold {
  readonly step: number
  /** Names of the native code with a bar between two, or `*` for any. */
  readonly operations: string
}

/** The entries of the library from which calls are made. */
export type Entry = 'index' | 'store' | 'transfer'

export class OverlapProcess {
  readonly #child: ChildProcess
  readonly #socket: Duplex
  #answered: (answer: Answer) => void = () => {}
  #held: (operation: string) => void = () => {}

  /** `calls`: the module with its calls, beside this one. `entry`: that of the library, which the module gets. */
  constructor(calls: string, entry: Entry) {
    this.#child = spawn(process.execPath, [CHILD, path.join(__dirname, calls), entry], {
      stdio: ['pipe', 'pipe', 'inherit', 'pipe'],
      env: { ...process.env, DM_THIN_PREBUILD: path.join(__dirname, '../../../build-fault') },
    })
    this.#socket = this.#child.stdio[3] as Duplex
    createInterface({ input: this.#child.stdout! }).on('line', line => this.#answered(JSON.parse(line) as Answer))
    this.#socket.on('data', (line: Buffer) => this.#held(line.toString().trim()))
  }

  /** Sets the scene for its next calls; null ends the last. */
  async prepare(next: object | null): Promise<void> {
    const { fault } = await this.#ask({ next })
    if (fault) throw new Error(`the scene: ${fault.code}: ${fault.message}`)
  }

  run(request: Request): Promise<Answer> {
    return this.#ask(request)
  }

  /** Runs a call that is held. `reached` is the operation; undefined if the call has fewer, and has ended. */
  runHeld(request: Request, hold: Hold): { answer: Promise<Answer>; reached: Promise<string | undefined> } {
    const held = new Promise<string>(resolve => (this.#held = resolve))
    const answer = this.#ask({ ...request, hold })
    return { answer, reached: Promise.race([held, answer.then(({ wasHeld }) => (wasHeld ? held : undefined))]) }
  }

  /** Lets the held call go on. */
  go(): void {
    this.#socket.write('.')
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const closed = new Promise(resolve => this.#child.once('close', resolve))
    this.#child.kill('SIGKILL')
    await closed
  }

  #ask(request: object): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const limit = setTimeout(() => {
        reject(new Error(`this hangs: ${JSON.stringify(request)}\n${readFileSync('/proc/locks', 'utf8')}`))
        this.#child.kill('SIGKILL') // so that the other tests of the file do not wait for its locks
      }, LIMIT_MS)
      this.#answered = answer => {
        clearTimeout(limit)
        resolve(answer)
      }
      this.#child.stdin!.write(`${JSON.stringify(request)}\n`)
    })
  }
}
