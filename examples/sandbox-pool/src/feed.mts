// The status, for everybody who wants each change of it. Read once for all, and only while somebody listens.
import { EventEmitter, once } from 'node:events'
import { answerTo } from './refusal.mjs'

/** What is written into a sandbox is told by nobody: the pool is asked. */
const EVERY_MS = 1_000

export class Feed {
  readonly #read: () => Promise<object>
  readonly #changes = new EventEmitter().setMaxListeners(0)
  readonly #end = new AbortController()
  #text = ''
  #listeners = 0
  #timer: NodeJS.Timeout | undefined
  #reading: Promise<void> | undefined
  #again = false

  constructor(read: () => Promise<object>) {
    this.#read = read
  }

  /** The status as JSON, and then each that differs from the last; a slow reader gets the newest alone. */
  async *follow(reader: AbortSignal): AsyncGenerator<string> {
    const signal = AbortSignal.any([reader, this.#end.signal])
    this.#listeners += 1
    this.#timer ??= setInterval(() => this.changed(), EVERY_MS)
    try {
      this.changed()
      for (let seen = ''; !signal.aborted;) {
        if (this.#text !== seen && !(seen === '' && this.#reading)) yield (seen = this.#text)
        else await once(this.#changes, 'change', { signal }).catch(() => {})
      }
    } finally {
      this.#listeners -= 1
      if (this.#listeners === 0) {
        clearInterval(this.#timer)
        this.#timer = undefined
      }
    }
  }

  /** Something has changed, and those that listen are to know. */
  changed(): void {
    if (this.#listeners === 0) return
    if (this.#reading) this.#again = true
    else this.#reading = this.#refresh()
  }

  /** Everybody's stream ends. Resolves when nothing is read any more. */
  async end(): Promise<void> {
    this.#end.abort()
    await this.#reading
  }

  async #refresh(): Promise<void> {
    do {
      this.#again = false
      this.#text = await this.#read().then(
        status => JSON.stringify(status),
        (fault: unknown) => JSON.stringify({ fault: answerTo(fault).body }),
      )
    } while (this.#again && !this.#end.signal.aborted)
    this.#reading = undefined
    this.#changes.emit('change')
  }
}
