// A running guest: its channels, its limits, its end. What differs between the machines is in qemu.mjs and uml.mjs.
import { closeSync, ftruncateSync, openSync, readSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'

const SCRATCH_BYTES = 12 * 1024 ** 3
const CONSOLE_LINES = 100
export const TIMED_OUT = 124
export const GUEST_DIED = 125

export class Guest {
  /** @param {string} folder holds sockets and settings; removed after the run */
  constructor(folder) {
    this.folder = folder
    /** @type {number | undefined} */
    this.console = undefined
    /** @type {import('./machine.mjs').Running['children'] | undefined} */
    this.children = undefined
    this.readyAt = 0
    this.exitAt = 0
    this.timedOut = false
    this.died = false
    /** @type {string | undefined} */
    this.interruptedBy = undefined
    this.finished = new Promise((fulfil, reject) => {
      this.finish = fulfil
      this.fail = reject
    })
    this.finished.catch(() => {})
    this.onExit = () => {
      this.kill()
      rmSync(folder, { recursive: true, force: true })
    }
    this.signals = ['SIGINT', 'SIGTERM', 'SIGHUP'].map(signal => ({ signal, handler: () => this.interrupted(signal) }))
    for (const { signal, handler } of this.signals) process.on(signal, handler)
    process.on('exit', this.onExit)
    // The reader of the output has gone (as with `| head -1`).
    this.onBrokenPipe = () => this.interrupted('SIGPIPE')
    process.stdout.on('error', this.onBrokenPipe)
    // npm ends its shell, not what the shell started: an orphan of npm's ends by itself.
    const parent = process.ppid
    const orphaned = () => process.ppid !== parent && this.interrupted('SIGTERM')
    this.watch = process.env.npm_lifecycle_event ? setInterval(orphaned, 1000) : undefined
  }

  /** Time in which the command itself ran. */
  busy() {
    return this.exitAt && this.readyAt ? this.exitAt - this.readyAt : 0
  }

  /** @param {import('./machine.mjs').Machine} machine */
  async start(machine, { kernel, accelerator, processors, timeout, onOutput }) {
    const scratch = this.nameless('scratch.raw')
    ftruncateSync(scratch.write, SCRATCH_BYTES)
    closeSync(scratch.read)
    const log = this.nameless('console.log')
    this.console = log.read
    const files = { folder: this.folder, scratch: scratch.write, console: log.write }
    let running
    try {
      running = await machine.start({ kernel, accelerator, processors, ...files, fail: this.fail })
    } finally {
      closeSync(scratch.write)
      closeSync(log.write)
    }
    this.children = running.children
    if (this.interruptedBy) return this.kill()
    const { main, out, control, shell } = running
    let complaints = ''
    main.stderr?.on('data', chunk => (complaints += chunk))
    out.on('error', () => {})
    out.on('data', chunk => this.output(out, chunk, onOutput))
    this.obey(control, shell)
    this.limit = setTimeout(() => {
      this.timedOut = true
      this.kill()
    }, timeout * 1000)
    main.on('error', error => this.fail(error))
    // What an ended process leaves behind of its group would hold the channels open.
    main.on('exit', () => this.children?.kill())
    main.on('close', () => {
      clearTimeout(this.limit)
      if (this.interruptedBy) return // the harness is about to exit
      if (this.status !== undefined) this.finish(this.status)
      else if (this.timedOut) this.finish(TIMED_OUT)
      else {
        this.died = true
        if (complaints) process.stderr.write(complaints)
        this.finish(GUEST_DIED)
      }
    })
  }

  /**
   * A file that is only held open: whatever ends the harness, it leaves nothing.
   * @param {string} name
   */
  nameless(name) {
    const path = join(this.folder, name)
    const write = openSync(path, name.startsWith('scratch') ? 'w+' : 'w', 0o600)
    const read = openSync(path, 'r')
    unlinkSync(path)
    return { write, read }
  }

  /** Lines from the guest's first process: ready, shell, exit N. */
  obey(control, shell) {
    let text = ''
    control.setEncoding('utf8')
    control.on('error', () => {})
    shell.on('error', () => {})
    shell.on('data', chunk => this.inShell && process.stdout.write(chunk))
    control.on('data', chunk => {
      text += chunk
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
        const [word, value] = text.slice(0, end).split(' ')
        text = text.slice(end + 1)
        if (word === 'ready') {
          this.readyAt = Date.now()
          rmSync(this.folder, { recursive: true, force: true }) // the guest has all it needs
        }
        if (word === 'shell') this.openShell(shell)
        else if (word === 'exit') {
          this.exitAt = Date.now()
          this.status = Number(value)
          this.kill() // everything is written: nothing to gain from a shutdown
        }
      }
    })
  }

  openShell(shell) {
    clearTimeout(this.limit)
    this.inShell = true
    process.stderr.write('vm: a shell in the guest; leave it with exit\n')
    if (process.stdin.isTTY) process.stdin.setRawMode(true)
    process.stdin.on('data', chunk => shell.write(chunk))
    // Again and again, for a terminal that is just being set up drops what it was sent.
    process.stdin.on('end', () => (this.endOfInput = setInterval(() => shell.write('\x04'), 500)))
    process.stdin.on('error', () => {})
  }

  output(out, chunk, onOutput) {
    if (onOutput) onOutput(chunk)
    else if (!process.stdout.write(chunk)) {
      out.pause()
      process.stdout.once('drain', () => out.resume())
    }
  }

  consoleText() {
    if (this.console === undefined) return ''
    const chunks = []
    const buffer = Buffer.alloc(65536)
    for (let at = 0, n = 0; (n = readSync(this.console, buffer, 0, buffer.length, at)) > 0; at += n) {
      chunks.push(Buffer.from(buffer.subarray(0, n)))
    }
    return Buffer.concat(chunks).toString('utf8').replaceAll('\r', '').trimEnd()
  }

  consoleTail() {
    const lines = this.consoleText().split('\n').slice(-CONSOLE_LINES)
    return lines.join('\n') || '(it is empty)'
  }

  keepConsole(cache) {
    if (this.console === undefined) return
    writeFileSync(join(cache, 'last-console.log'), this.consoleText() + '\n')
    closeSync(this.console)
    this.console = undefined
  }

  async interrupted(signal) {
    if (this.interruptedBy) return
    this.interruptedBy = signal
    await this.end()
    rmSync(this.folder, { recursive: true, force: true })
    process.exit(128 + constants.signals[signal])
  }

  kill() {
    clearTimeout(this.limit)
    if (process.stdin.isTTY && this.inShell) process.stdin.setRawMode(false)
    this.children?.kill()
  }

  async end() {
    this.kill()
    await this.children?.end()
    if (this.inShell) process.stdin.destroy()
    for (const { signal, handler } of this.signals) process.off(signal, handler)
    process.off('exit', this.onExit)
    process.stdout.off('error', this.onBrokenPipe)
    clearInterval(this.watch)
    clearInterval(this.endOfInput)
  }
}
