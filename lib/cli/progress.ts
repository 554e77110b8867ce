// A progress bar. It is drawn only on a terminal.

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
