// Work of which several pieces are in progress at a time.

/** Yields the results in the order of the items, with at most `limit` in progress. Waits for them if it ends early. */
export async function* inOrder<T, R>(
  items: AsyncIterable<T>,
  limit: number,
  start: (item: T) => Promise<R>,
): AsyncGenerator<R, void> {
  const running: Promise<R>[] = []
  try {
    for await (const item of items) {
      const result = start(item)
      result.catch(() => {}) // it is awaited later, or the error before it counts
      running.push(result)
      if (running.length >= limit) yield await running.shift()!
    }
    while (running.length > 0) yield await running.shift()!
  } finally {
    await Promise.allSettled(running)
  }
}

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
