// Between whoever makes events and whoever reads them one by one.

/** What was not read in time; see `EventQueue`. */
export interface Overflow {
  readonly type: 'overflow'
}

/** Unread events are kept; how many, is bounded. */
export const MAX_UNREAD = 10_000

/** When two unread events are one. */
export interface Merging<T> {
  /** What the event is about. Only the latest unread event of one subject is merged with. */
  subjectOf(event: T): string
  /** What the two come to, or undefined where both must be told. */
  merge(earlier: T, later: T): T | undefined
}

interface Box<T> {
  event: T | Overflow
  readonly subject: string
}

/**
 * An async iterator over what is pushed. A reader that is slow finds merged events where two can be one; with
 * MAX_UNREAD of them unread, all are dropped for one `overflow`, which says: look at the whole again.
 */
export class EventQueue<T> implements AsyncIterableIterator<T | Overflow> {
  readonly #merging: Merging<T>
  readonly #onReturn: () => void
  readonly #latest = new Map<string, Box<T>>()
  #unread: Box<T>[] = []
  #waiting: { resolve: (result: IteratorResult<T | Overflow>) => void; reject: (fault: unknown) => void }[] = []
  #ended = false
  #fault: Error | undefined

  constructor(merging: Merging<T>, onReturn: () => void) {
    this.#merging = merging
    this.#onReturn = onReturn
  }

  push(event: T): void {
    if (this.#ended) return
    const reader = this.#waiting.shift()
    if (reader) return reader.resolve({ value: event, done: false })
    const subject = this.#merging.subjectOf(event)
    const latest = this.#latest.get(subject)
    const merged = latest && this.#merging.merge(latest.event as T, event)
    if (latest && merged !== undefined) {
      latest.event = merged
      return
    }
    if (this.#unread.length >= MAX_UNREAD) {
      this.#drop()
      this.#unread.push({ event: { type: 'overflow' }, subject: '' })
      return
    }
    const box = { event, subject }
    this.#unread.push(box)
    this.#latest.set(subject, box)
  }

  /** What is unread can still be read; then it ends, or throws `fault`. */
  end(fault?: Error): void {
    if (this.#ended) return
    this.#ended = true
    const waiting = this.#waiting.splice(0)
    if (waiting.length === 0) this.#fault = fault
    for (const { resolve, reject } of waiting) {
      if (fault === undefined) resolve({ value: undefined, done: true })
      else reject(fault)
    }
  }

  next(): Promise<IteratorResult<T | Overflow>> {
    const box = this.#unread.shift()
    if (box) {
      if (this.#latest.get(box.subject) === box) this.#latest.delete(box.subject)
      return Promise.resolve({ value: box.event, done: false })
    }
    if (!this.#ended) return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
    const fault = this.#fault
    this.#fault = undefined
    if (fault !== undefined) return Promise.reject(fault)
    return Promise.resolve({ value: undefined, done: true })
  }

  return(): Promise<IteratorResult<T | Overflow>> {
    this.end()
    this.#drop()
    this.#onReturn()
    return Promise.resolve({ value: undefined, done: true })
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  #drop(): void {
    this.#unread = []
    this.#latest.clear()
  }
}
