// A running guest: its three processes, its channels, its end.
import { closeSync, existsSync, ftruncateSync, openSync, readSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { QEMU, qemuArguments, spawnBound, virtiofsd } from './qemu.mjs'

export const repository = resolve(import.meta.dirname, '../..')
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
    /** @type {import('node:child_process').ChildProcess[]} */
    this.children = []
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
    this.signals = ['SIGINT', 'SIGTERM', 'SIGHUP'].map(signal => [signal, () => this.interrupted(signal)])
    for (const [signal, handler] of this.signals) process.on(signal, handler)
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

  async start({ kernel, accelerator, processors, timeout, onOutput }) {
    const shares = [
      ['rootfs', '/', ['--readonly', '--cache=always']],
      ['worktree', repository, ['--cache=auto']],
    ]
    for (const [tag, directory, extra] of shares) this.share(tag, directory, extra)
    for (const [tag] of shares) await this.socketOf(tag)

    const scratch = this.nameless('scratch.raw')
    ftruncateSync(scratch.write, SCRATCH_BYTES)
    closeSync(scratch.read)
    const log = this.nameless('console.log')
    this.console = log.read

    const args = qemuArguments({ kernel, accelerator, processors, folder: this.folder })
    const stdio = ['ignore', 'ignore', 'pipe', 'pipe', 'pipe', scratch.write, 'pipe', log.write]
    const qemu = spawnBound(QEMU, args, { stdio })
    closeSync(scratch.write)
    closeSync(log.write)
    this.children.push(qemu)
    let complaints = ''
    qemu.stderr.on('data', chunk => (complaints += chunk))
    const out = qemu.stdio[6]
    out.on('error', () => {})
    out.on('data', chunk => this.output(out, chunk, onOutput))
    this.control(qemu)
    this.limit = setTimeout(() => {
      this.timedOut = true
      qemu.kill('SIGKILL')
    }, timeout * 1000)
    qemu.on('error', error => this.fail(error))
    qemu.on('close', () => {
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

  /** @param {string} tag @param {string} directory @param {string[]} extra */
  share(tag, directory, extra) {
    const args = ['--socket-path', join(this.folder, `${tag}.sock`), '--shared-dir', directory, '--sandbox=none']
    args.push('--no-announce-submounts', '--log-level=error', ...extra)
    const child = spawnBound(virtiofsd(), args, { stdio: ['ignore', 'ignore', 'pipe'] })
    let complaints = ''
    child.stderr.on('data', chunk => (complaints += chunk))
    child.on('error', error => this.fail(error))
    child.on('exit', code => {
      if (code && !this.ended)
        this.fail(new Error(`virtiofsd for ${directory} ended with ${code}: ${complaints.trim()}`))
    })
    this.children.push(child)
  }

  async socketOf(tag) {
    for (let waited = 0; !existsSync(join(this.folder, `${tag}.sock`)); waited += 10) {
      if (waited > 5000) throw new Error(`virtiofsd does not start for ${tag}`)
      await Promise.race([sleep(10), this.finished])
    }
  }

  /** Lines from the guest's first process: ready, shell, exit N. */
  control(qemu) {
    const [, , , ctl, shell] = qemu.stdio
    let text = ''
    ctl.setEncoding('utf8')
    ctl.on('error', () => {})
    shell.on('error', () => {})
    shell.on('data', chunk => this.inShell && process.stdout.write(chunk))
    ctl.on('data', chunk => {
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
          qemu.kill('SIGKILL') // everything is written: nothing to gain from a shutdown
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
    this.ended = true
    clearTimeout(this.limit)
    if (process.stdin.isTTY && this.inShell) process.stdin.setRawMode(false)
    for (const child of this.children) if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
  }

  async end() {
    this.kill()
    for (const child of this.children) {
      if (child.exitCode === null && child.signalCode === null) await new Promise(done => child.once('exit', done))
    }
    if (this.inShell) process.stdin.destroy()
    for (const [signal, handler] of this.signals) process.off(signal, handler)
    process.off('exit', this.onExit)
    process.stdout.off('error', this.onBrokenPipe)
    clearInterval(this.watch)
    clearInterval(this.endOfInput)
  }
}
