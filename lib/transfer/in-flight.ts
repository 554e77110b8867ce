// Work of which several pieces are in progress at a time.

/**
 * Yields the results in the order of the items, each as soon as it is there, with at most `limit` in progress. Waits for those
 * in progress, and for the item that is waited for, if it ends early.
 */
export async function* inOrder<T, R>(
  items: AsyncIterable<T>,
  limit: number,
  start: (item: T) => Promise<R>,
): AsyncGenerator<R, void> {
  const iterator = items[Symbol.asyncIterator]()
  const running: Promise<R>[] = []
  let next: Promise<IteratorResult<T, unknown>> | undefined
  let hasEnded = false
  try {
    while (!hasEnded || running.length > 0) {
      if (!hasEnded && running.length < limit) next ??= iterator.next()
      const [head] = running
      if (head && (!next || (await isFirst(head, next)))) yield await running.shift()!
      else {
        const found = await next!
        next = undefined
        if (found.done) hasEnded = true
        else {
          const result = start(found.value)
          result.catch(() => {}) // it is awaited later, or the error before it counts
          running.push(result)
        }
      }
    }
  } finally {
    next?.catch(() => {})
    await Promise.allSettled(running)
    await iterator.return?.()
  }
}

/** Returns true if `one` is settled before `other`. */
const isFirst = (one: Promise<unknown>, other: Promise<unknown>): Promise<boolean> =>
  Promise.race([
    one.then(
      () => true,
      () => true,
    ),
    other.then(
      () => false,
      () => false,
    ),
  ])

/**
 * Calls `work` for each item, with at most `limit` calls in progress. Calls `stop` when one fails, so that an item that is
 * waited for does not delay the error. Rejects with the first error when no call is in progress.
 */
export async function forEachOf<T>(
  items: AsyncIterable<T>,
  limit: number,
  work: (item: T) => Promise<void>,
  stop: () => void,
): Promise<void> {
  const running = new Set<Promise<void>>()
  const faults: unknown[] = []
  const fail = (fault: unknown): void => {
    faults.push(fault)
    stop()
  }
  try {
    for await (const item of items) {
      const call: Promise<void> = work(item)
        .catch(fail)
        .finally(() => running.delete(call))
      running.add(call)
      if (running.size >= limit) await Promise.race(running)
      if (faults.length > 0) break
    }
  } catch (fault) {
    faults.push(fault)
  }
  await Promise.all(running)
  if (faults.length > 0) throw faults[0]
}

/**
 * Yields the items in segments, each of which ends when the sizes of its items have reached `limit`. A segment must be read
 * to its end before the next one.
 */
export async function* segmentsOf<T>(
  items: AsyncGenerator<T, void>,
  limit: number,
  sizeOf: (item: T) => number,
): AsyncGenerator<AsyncGenerator<T, void>, void> {
  let isLast = false
  const segment = async function* (): AsyncGenerator<T, void> {
    for (let size = 0; size < limit;) {
      const next = await items.next()
      if (next.done) {
        isLast = true
        return
      }
      size += sizeOf(next.value)
      yield next.value
    }
  }
  try {
    while (!isLast) yield segment()
  } finally {
    await items.return()
  }
}
