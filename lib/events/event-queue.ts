// Bounded queue between the producer and the reader of events.

/** The marker in place of events that were dropped unread; see `EventQueue`. */
export interface Overflow {
  /** Always `overflow`, which is the type of no event. */
  readonly type: 'overflow'
}

/** The maximum number of unread events. */
export const MAX_UNREAD = 10_000

/** The rules by which two unread events are merged. */
export interface Merging<T> {
  /** Returns the subject of the event. An event is merged only with the latest unread event of its subject. */
  subjectOf(event: T): string
  /** Returns the merged event, or undefined if both must be reported. */
  merge(earlier: T, later: T): T | undefined
}

interface Box<T> {
  event: T | Overflow
  readonly subject: string
}

/**
 * An async iterator over pushed events. For a slow reader, events are merged if possible. If MAX_UNREAD events are
 * unread, all are dropped for one `overflow`, after which the reader must read the whole state again.
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

  /** Ends the queue after the unread events, or throws `fault` after them. */
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
