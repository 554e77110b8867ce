// The example service as its users run it: a process of its own, asked over HTTP, ended by a signal.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'

const program = path.join(__dirname, '../../../dist-examples/sandbox-pool/src/main.mjs')

export interface Answer<Body> {
  readonly status: number
  readonly headers: Headers
  readonly body: Body
}

export interface Ended {
  readonly code: number | null
  readonly lines: readonly string[]
  readonly errors: string
}

export class Service {
  readonly url: string
  readonly #child: ChildProcess
  readonly #lines: string[]
  readonly #errors: string[]

  private constructor(url: string, child: ChildProcess, lines: string[], errors: string[]) {
    this.url = url
    this.#child = child
    this.#lines = lines
    this.#errors = errors
  }

  /** Resolves when it listens. */
  static async start(directory: string, settings: Readonly<Record<string, string | number>> = {}): Promise<Service> {
    if (!existsSync(program)) throw new Error(`${program} is missing: npm run build:examples`)
    const given = Object.entries(settings).map(([name, value]) => [`SANDBOX_${name}`, String(value)])
    const sizes = { SANDBOX_BYTES: String(64 * 2 ** 20), SANDBOX_POOL_BYTES: String(2 ** 30), SANDBOX_WARM: '2' }
    const env = { ...process.env, ...sizes, SANDBOX_DIRECTORY: directory, SANDBOX_PORT: '0' }
    const child = spawn(process.execPath, [program], {
      env: { ...env, ...(Object.fromEntries(given) as Record<string, string>) },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const errors: string[] = []
    child.stderr.setEncoding('utf8').on('data', (text: string) => errors.push(text))
    const lines: string[] = []
    const reader = createInterface(child.stdout).on('line', line => lines.push(line))
    const ended = once(child, 'close').then(() => {
      throw new Error(`the service ended at its start: ${errors.join('')}`)
    })
    ended.catch(() => {})
    await Promise.race([once(reader, 'line'), ended])
    const url = /^listening on (http:\S+)$/.exec(lines[0]!)?.[1]
    if (url === undefined) throw new Error(`the service says no address, but: ${lines[0]}`)
    return new Service(url, child, lines, errors)
  }

  async ask<Body>(method: string, route: string, options: RequestInit = {}): Promise<Answer<Body>> {
    const response = await fetch(this.url + route, { method, ...options })
    const text = await response.text()
    return { status: response.status, headers: response.headers, body: (text && JSON.parse(text)) as Body }
  }

  /** Sends a signal, where the process is not gone yet, and resolves when it is. */
  async end(signal: NodeJS.Signals): Promise<Ended> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const closed = once(this.#child, 'close')
      this.#child.kill(signal)
      await closed
    }
    return { code: this.#child.exitCode, lines: this.#lines, errors: this.#errors.join('') }
  }
}
