// Comparison of saved mappings with present ones. Equal values, data block and time, have equal contents: after the
// mappings were saved, each new mapping gets a later time than all of them, and a block of them is never written in place.
import type { DeltaRange, MappedRange } from '../../metadata/ranges.js'

type Ranges = AsyncIterable<MappedRange>

/** Yields the differences, by ascending block, from the saved mappings on the left to the present ones on the right. */
export async function* changedRanges(saved: Ranges, present: Ranges): AsyncGenerator<DeltaRange, void> {
  let joined: DeltaRange | undefined
  for await (const range of differences(saved, present)) {
    if (joined?.type === range.type && joined.begin + joined.length === range.begin) {
      joined = { ...joined, length: joined.length + range.length }
    } else {
      if (joined) yield joined
      joined = range
    }
  }
  if (joined) yield joined
}

async function* differences(saved: Ranges, present: Ranges): AsyncGenerator<DeltaRange, void> {
  const [left, right] = [new Cursor(saved), new Cursor(present)]
  try {
    await Promise.all([left.advance(), right.advance()])
    for (;;) {
      const [a, b] = [left.head, right.head]
      if (a && (!b || a.begin < b.begin)) {
        const length = b ? Math.min(a.length, b.begin - a.begin) : a.length
        yield { type: 'leftOnly', begin: a.begin, length }
        await left.pass(length)
      } else if (b && (!a || b.begin < a.begin)) {
        const length = a ? Math.min(b.length, a.begin - b.begin) : b.length
        yield { type: 'rightOnly', begin: b.begin, length }
        await right.pass(length)
      } else if (a && b) {
        const length = Math.min(a.length, b.length)
        if (a.data !== b.data || a.time !== b.time) yield { type: 'different', begin: a.begin, length }
        await left.pass(length)
        await right.pass(length)
      } else return
    }
  } finally {
    await Promise.all([left.close(), right.close()])
  }
}

/** The first range that is not compared yet. */
class Cursor {
  readonly #ranges: AsyncIterator<MappedRange>
  head: MappedRange | undefined

  constructor(ranges: Ranges) {
    this.#ranges = ranges[Symbol.asyncIterator]()
  }

  async advance(): Promise<void> {
    const next = await this.#ranges.next()
    this.head = next.done ? undefined : next.value
  }

  /** Passes over the first blocks of the range. */
  async pass(length: number): Promise<void> {
    const { begin, data, time, length: whole } = this.head!
    if (length === whole) await this.advance()
    else this.head = { begin: begin + length, length: whole - length, data: data + length, time }
  }

  async close(): Promise<void> {
    await this.#ranges.return?.()
  }
}

/** Yields the parts of ranges from the block `from` to before the block `to`. */
export async function* cut(ranges: Ranges, { from, to }: { from: number; to: number }): AsyncGenerator<MappedRange> {
  for await (const { begin, length, data, time } of ranges) {
    const [first, end] = [Math.max(begin, from), Math.min(begin + length, to)]
    if (first < end) yield { begin: first, length: end - first, data: data + first - begin, time }
  }
}
