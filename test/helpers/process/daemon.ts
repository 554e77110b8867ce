// A program that runs beside a test.
import { spawn, type ChildProcess } from 'node:child_process'

/** A program that goes on until it is told to end. What it prints is kept. */
export class Daemon {
  readonly process: ChildProcess
  readonly ended: Promise<number | null>
  output = ''

  constructor(command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env) {
    const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    this.process = child
    const keep = (chunk: Buffer) => (this.output += chunk.toString())
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    this.ended = new Promise((done, fail) => {
      child.on('error', fail)
      child.on('close', done)
    })
    this.ended.catch(() => {})
  }

  /** Waits for what `ready` looks for; throws with the output if the program ends before. */
  async until(what: string, ready: () => boolean | Promise<boolean>): Promise<void> {
    for (let ended = false; !(await ready());) {
      if (ended) throw new Error(`it ended before ${what}:\n${this.output}`)
      const pause = new Promise<'pause'>(done => setTimeout(done, 100, 'pause'))
      ended = (await Promise.race([pause, this.ended])) !== 'pause'
    }
  }

  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (this.process.exitCode === null && this.process.signalCode === null) this.process.kill(signal)
    return this.ended
  }
}
