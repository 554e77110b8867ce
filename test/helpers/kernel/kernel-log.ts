// The kernel log as an independent check: a test in which the kernel warned has failed, unless it allowed the warning.
import { closeSync, constants, openSync, readSync } from 'node:fs'

const ALWAYS_BAD = /\bBUG\b|WARNING:|\bOops\b|Call Trace|general protection|blocked for more than|locking dependency/
/** Warnings and errors of these count, too; other drivers of the machine may say what they like. */
const OURS = /device-mapper: |\bloop\d*: |EXT4-fs (error|warning)|I\/O error/
const WARNING_LEVEL = 4
/** Of an excerpt. The lines before a complaint often say what led to it, and a call trace follows it. */
const LINES_BEFORE = 20
const LINES_SHOWN = 60

export class KernelLog {
  #fd: number | undefined
  #allowed: RegExp[] = []
  #lines: string[] = []
  #complaints: string[] = []

  /** Forgets what was, also what was allowed. */
  start(): void {
    this.#fd ??= openSync('/dev/kmsg', constants.O_RDONLY | constants.O_NONBLOCK)
    this.#drain()
    this.#allowed = []
    this.#lines = []
    this.#complaints = []
  }

  /** Lines that this test is meant to bring about. */
  allow(...patterns: RegExp[]): void {
    this.#allowed.push(...patterns)
  }

  /** What nobody allowed. */
  complaints(): string[] {
    this.#drain()
    return this.#complaints.filter(line => !this.#allowed.some(pattern => pattern.test(line)))
  }

  /** Lines since `start`, of all levels: those around the first complaint, or the last ones if there is none. */
  excerpt(): string[] {
    const [complaint] = this.complaints()
    if (complaint === undefined) return this.#lines.slice(-LINES_SHOWN)
    const at = this.#lines.indexOf(complaint)
    return this.#lines.slice(Math.max(0, at - LINES_BEFORE), at + LINES_SHOWN)
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }

  /** One read is one record: `level,sequence,time,flags;text`. */
  #drain(): void {
    const buffer = Buffer.alloc(8192)
    for (;;) {
      let size: number
      try {
        size = readSync(this.#fd!, buffer)
      } catch (fault) {
        const { code } = fault as NodeJS.ErrnoException
        if (code === 'EPIPE') continue // records were overwritten before they were read: go on with those left
        if (code === 'EAGAIN') return
        throw fault
      }
      const record = buffer.toString('utf8', 0, size)
      const text = record.slice(record.indexOf(';') + 1).split('\n')[0] ?? ''
      const level = Number.parseInt(record, 10) & 7
      this.#lines.push(text)
      if (ALWAYS_BAD.test(text) || (level <= WARNING_LEVEL && OURS.test(text))) this.#complaints.push(text)
    }
  }
}
