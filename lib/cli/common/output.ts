// The formats of output: text for people, JSON for programs, and a progress bar.
import { DmThinError } from '../../base/errors.js'

/** Formats columns that are as wide as their longest cell. */
export function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [titles, ...rows]
  const widths = titles.map((_, at) => Math.max(...lines.map(line => line[at]!.length)))
  return lines
    .map(line =>
      line
        .map((cell, at) => cell.padEnd(widths[at]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** Formats names and values, one pair in each line. */
export function pairs(entries: readonly (readonly [string, string])[]): string {
  const width = Math.max(...entries.map(([name]) => name.length))
  return entries.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join('\n')
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** Formats a size: `512 B`, `64 MiB`, `1.5 GiB`. */
export function sizeText(bytes: number): string {
  const at = Math.max(0, Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10)))
  const value = bytes / 2 ** (10 * at)
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${UNITS[at]}`
}

/** Formats a usage: `3.0 GiB of 10 GiB (30 %)`. */
export const usedText = (used: number, total: number): string =>
  `${sizeText(used)} of ${sizeText(total)} (${Math.round((100 * used) / total)} %)`

/** Quotes a name with characters that would break a line or reach the terminal as commands. */
export const nameText = (name: string): string => (/^[^\s\p{C}"]+$/u.test(name) ? name : JSON.stringify(name))

/** Formats JSON. Bigints (integers beyond 2^53, and times in nanoseconds) become strings. */
export function jsonText(value: unknown, indent?: number): string {
  return JSON.stringify(
    value,
    (_, each: unknown) => {
      if (typeof each === 'bigint') return String(each)
      return each instanceof Error ? errorFacts(each) : each
    },
    indent,
  )
}

/** Returns the fields of an error that programs use, and the message. */
export function errorFacts(fault: unknown): object {
  if (!(fault instanceof DmThinError)) return { message: String(fault) }
  const { code, message, errno, operation, device, detail, kernelReason, holders, rollback } = fault
  return {
    code,
    message,
    errno,
    operation,
    device,
    detail,
    kernelReason,
    ...(holders.length > 0 && { holders }),
    ...(rollback.length > 0 && { rollback }),
  }
}

export const errorText = (fault: unknown): string =>
  fault instanceof DmThinError ? `${fault.message} (${fault.code})` : String(fault)

/** The parts of a stream of the process that a bar needs. */
export interface Terminal {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

const BAR = 20
const INTERVAL_MS = 100
const ERASE_LINE = '\r\x1b[K'

/** A progress bar on one line. */
export class Progress {
  readonly #terminal: Terminal
  readonly #title: string
  #drawnAt = -Infinity
  #drawn = false

  constructor(terminal: Terminal, title: string) {
    this.#terminal = terminal
    this.#title = title
  }

  /** Draws `done` of `total`, at most ten times per second. The last step is always drawn. */
  update(done: number, total: number, detail = ''): void {
    const now = performance.now()
    if (!this.#terminal.isTTY || (done < total && now - this.#drawnAt < INTERVAL_MS)) return
    this.#drawnAt = now
    this.#drawn = true
    const part = total > 0 ? Math.min(1, done / total) : 1
    const full = Math.round(part * BAR)
    const bar = `${'#'.repeat(full)}${'-'.repeat(BAR - full)}`
    const line = `${this.#title} [${bar}] ${done}/${total}${detail === '' ? '' : `  ${detail}`}`
    this.#terminal.write(ERASE_LINE + line.slice(0, (this.#terminal.columns ?? 80) - 1))
  }

  /** Erases the bar. */
  end(): void {
    if (this.#drawn) this.#terminal.write(ERASE_LINE)
    this.#drawn = false
  }
}
