// A real browser, driven by the debugging protocol over two pipes: no driver, and no port.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import path from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'

const PROGRAMS = ['chromium-headless-shell', 'chromium', 'chromium-browser', 'google-chrome']
const FLAGS = [
  '--headless',
  '--hide-scrollbars',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--remote-debugging-pipe',
]

/** Installed, or unpacked into the cache (see test/tools/setup/tools.mjs), where one library has a folder of its own. */
function findProgram(): { program: string; libraries: string[] } {
  const installed = PROGRAMS.map(name => `/usr/bin/${name}`).find(existsSync)
  if (installed !== undefined) return { program: installed, libraries: [] }
  const below = path.join(process.env.DM_THIN_TOOLS ?? '/none', 'usr/lib')
  const program = path.join(below, 'chromium/chromium-headless-shell')
  if (!existsSync(program)) throw new Error(`none of ${PROGRAMS.join(', ')} is installed`)
  const folders = readdirSync(below).filter(name => name.endsWith('-linux-gnu'))
  return { program, libraries: folders.flatMap(name => [path.join(below, name), path.join(below, name, 'pulseaudio')]) }
}

interface Reply {
  readonly id?: number
  readonly method?: string
  readonly params?: unknown
  readonly result?: unknown
  readonly error?: { readonly message: string }
}

export class Browser {
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, (reply: Reply) => void>()
  #session: string | undefined
  #last = 0
  /** What the page threw, and what the browser logged about it. */
  readonly complaints: string[] = []

  private constructor(child: ChildProcess) {
    this.#child = child
    let text = ''
    const replies = child.stdio[4] as Readable
    replies.setEncoding('utf8').on('data', (part: string) => {
      const messages = (text + part).split('\0')
      text = messages.pop()!
      for (const message of messages) this.#take(JSON.parse(message) as Reply)
    })
  }

  /** With one empty page; `profile` is a folder for its files. */
  static async start(profile: string): Promise<Browser> {
    const { program, libraries } = findProgram()
    const child = spawn(program, [...FLAGS, `--user-data-dir=${profile}`, 'about:blank'], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
      env: { ...process.env, LD_PRELOAD: '', ...(libraries.length > 0 && { LD_LIBRARY_PATH: libraries.join(':') }) },
      detached: true, // a group of its own, which `close` ends
    })
    const browser = new Browser(child)
    for (;;) {
      const { targetInfos } = await browser.#call<{ targetInfos: { type: string; targetId: string }[] }>(
        'Target.getTargets',
      )
      const page = targetInfos.find(({ type }) => type === 'page')
      if (page) {
        const attached = { targetId: page.targetId, flatten: true }
        browser.#session = (await browser.#call<{ sessionId: string }>('Target.attachToTarget', attached)).sessionId
        for (const domain of ['Runtime', 'Log', 'Page']) await browser.#call(`${domain}.enable`)
        return browser
      }
      await sleep(50)
    }
  }

  async visit(url: string, width: number): Promise<void> {
    await this.#call('Emulation.setDeviceMetricsOverride', { width, height: 640, deviceScaleFactor: 1, mobile: false })
    await this.#call('Page.navigate', { url })
  }

  /** The value of an expression in the page. */
  async evaluate(expression: string): Promise<unknown> {
    const { result } = await this.#call<{ result: { value?: unknown } }>('Runtime.evaluate', {
      expression,
      returnByValue: true,
    })
    return result.value
  }

  /** Resolves when an expression in the page is true. */
  async until(expression: string): Promise<void> {
    while ((await this.evaluate(expression)) !== true) await sleep(50)
  }

  async close(): Promise<void> {
    const gone = once(this.#child, 'exit')
    const group = -this.#child.pid!
    process.kill(group, 'SIGKILL')
    await gone
    // Its own children, which write to the profile, end a moment later.
    while (isThere(group)) await sleep(5)
    for (const pipe of this.#child.stdio) pipe?.destroy()
  }

  #take({ id, method, params, result, error }: Reply): void {
    if (id !== undefined) this.#waiting.get(id)?.({ result, ...(error && { error }) })
    if (method === 'Runtime.exceptionThrown' || method === 'Log.entryAdded')
      this.complaints.push(JSON.stringify(params))
  }

  async #call<Result>(method: string, params: object = {}): Promise<Result> {
    const id = ++this.#last
    const sessionId = this.#session
    const reply = new Promise<Reply>(resolve => this.#waiting.set(id, resolve))
    ;(this.#child.stdio[3] as Writable).write(JSON.stringify({ id, method, params, sessionId }) + '\0')
    const { result, error } = await reply
    this.#waiting.delete(id)
    if (error) throw new Error(`${method}: ${error.message}`)
    return result as Result
  }
}

function isThere(group: number): boolean {
  try {
    process.kill(group, 'SIGKILL')
    return true
  } catch {
    return false
  }
}
