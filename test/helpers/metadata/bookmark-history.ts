// A random history that is run twice: with the base kept, which thin_delta compares with, and with the base deleted after
// its bookmark. Both must give the same differences.
import { alignedBuffer, BlockDevice, MiB, type ThinPool, type ThinVolume } from '../../../lib/entry/index.js'
import { ThinMetadata } from '../../../lib/entry/metadata.js'
import { BLOCK } from '../kernel/blocks.js'
import { dmTable } from '../kernel/dmsetup.js'
import type { Scratch } from '../kernel/scratch.js'
import { collect } from './collect.js'
import { thinDelta } from './tools.js'
import { withPool } from '../pool/pools.js'
import { type Random, seeded } from '../random/random.js'

const BLOCKS = 256
const PAGE = 4096
const STEPS = 50

/** A volume, and the tag that was written last to each of its blocks; 0 for a hole. */
interface Known {
  volume: ThinVolume
  tags: number[]
}

interface Difference {
  readonly step: number
  readonly of: number
  readonly ranges: readonly { readonly type: string; readonly begin: number; readonly length: number }[]
}

/** A base that was bookmarked. It is kept, or deleted. */
interface Base {
  readonly file: string
  readonly tags: readonly number[]
  readonly kept: ThinVolume | undefined
}

class History {
  readonly #pool: ThinPool
  readonly #random: Random
  readonly #keeps: boolean
  /** The path of a bookmark. */
  readonly #path: (step: number) => string
  readonly #known: Known[] = []
  readonly differences: Difference[] = []
  /** The blocks that are the same by their contents and were returned nevertheless. */
  surplus = 0
  #bases: Base[] = []
  #tag = 0
  #id = 0

  constructor(pool: ThinPool, seed: number, keeps: boolean, path: (step: number) => string) {
    this.#pool = pool
    this.#random = seeded(seed)
    this.#keeps = keeps
    this.#path = path
  }

  async run(): Promise<void> {
    const volume = await (await this.#pool.createVolume({ id: this.#id++, sizeBytes: BLOCKS * BLOCK })).activate()
    this.#known.push({ volume, tags: Array<number>(BLOCKS).fill(0) })
    for (let step = 0; step < STEPS; step++) {
      await this.#step()
      if (step % 7 === 6) await this.#bookmark(step)
      if (step % 5 === 4) await this.#compare(step)
    }
  }

  async #step(): Promise<void> {
    const random = this.#random
    const at = random.below(this.#known.length)
    const known = this.#known[at]!
    const kind = random.below(100)
    const id = this.#id
    if (kind < 55) await this.#write(known)
    else if (kind < 68) await this.#discard(known)
    else if (kind < 82 && this.#known.length < 5) {
      this.#id++
      this.#known.push({ volume: await known.volume.snapshot({ id, activate: true }), tags: [...known.tags] })
    } else if (kind < 88 && this.#known.length > 1) {
      await known.volume.destroy()
      this.#known.splice(at, 1)
    } else if (kind < 94 && this.#known.length > 1) {
      // A rollback: the volume becomes a snapshot of another one, with its own id.
      const from = this.#known[(at + 1) % this.#known.length]!
      await known.volume.destroy()
      known.volume = await from.volume.snapshot({ id: known.volume.id, activate: true })
      known.tags = [...from.tags]
    } else {
      await known.volume.deactivate()
      await known.volume.activate()
    }
  }

  async #write({ volume, tags }: Known): Promise<void> {
    const random = this.#random
    const [begin, step] = [random.below(BLOCKS), random.pick([1, 1, 3, 17])]
    const end = Math.min(BLOCKS, begin + step * (1 + random.below(random.chance(20) ? 120 : 9)))
    const isAgain = random.chance(15)
    const device = await BlockDevice.open(volume.path)
    const page = alignedBuffer(PAGE)
    for (let block = begin; block < end; block += step) {
      if (!isAgain || tags[block] === 0) tags[block] = ++this.#tag
      page.writeUInt32LE(tags[block]!)
      await device.write(block * BLOCK, page)
    }
    await device.close()
  }

  async #discard({ volume, tags }: Known): Promise<void> {
    const begin = this.#random.below(BLOCKS)
    const length = Math.min(BLOCKS - begin, 1 + this.#random.below(this.#random.chance(30) ? 120 : 9))
    const device = await BlockDevice.open(volume.path)
    await device.discard({ offsetBytes: begin * BLOCK, lengthBytes: length * BLOCK })
    await device.close()
    tags.fill(0, begin, begin + length)
  }

  async #bookmark(step: number): Promise<void> {
    const { volume, tags } = this.#known[this.#random.below(this.#known.length)]!
    const base = await volume.snapshot({ id: this.#id++ })
    const file = this.#path(step)
    const metadata = await ThinMetadata.open(this.#pool, { reserve: false })
    await metadata.bookmark(base.id, file)
    await metadata.close()
    if (!this.#keeps) await base.delete()
    this.#bases = [...this.#bases, { file, tags: [...tags], kept: this.#keeps ? base : undefined }].slice(-3)
  }

  async #compare(step: number): Promise<void> {
    const metadata = await ThinMetadata.open(this.#pool)
    try {
      for (const { file, tags, kept } of this.#bases) {
        for (const known of this.#known) {
          const ranges = await collect(metadata.changedSince(file, known.volume.id))
          this.differences.push({ step, of: known.volume.id, ranges })
          if (kept) expect(ranges).toEqual(this.#oracle(kept.id, known.volume.id))
          this.#checkContents(ranges, tags, known)
        }
      }
    } finally {
      await metadata.close()
    }
  }

  #oracle(left: number, right: number) {
    const file = `/dev/loop${dmTable(this.#pool.name).split(' ')[3]!.slice(2)}`
    return thinDelta(file, left, right, ['--metadata-snap']).filter(({ type }) => type !== 'same')
  }

  #checkContents(ranges: Difference['ranges'], tags: readonly number[], known: Known): void {
    const changed = new Set(ranges.flatMap(({ begin, length }) => Array.from({ length }, (_, i) => begin + i)))
    const missed = tags.flatMap((tag, block) => (tag !== known.tags[block] && !changed.has(block) ? [block] : []))
    expect({ volume: known.volume.id, missed }).toEqual({ volume: known.volume.id, missed: [] })
    this.surplus += [...changed].filter(block => tags[block] === known.tags[block]).length
  }
}

/** Expects the same differences with the base kept and deleted, and none of them missed. */
export async function expectBookmarks(scratch: Scratch, seed: number): Promise<void> {
  const options = { dataBytes: 512 * MiB, metadataBytes: 8 * MiB, skipBlockZeroing: true }
  const histories: History[] = []
  for (const keeps of [true, false]) {
    await withPool(options, async (pool, { name }) => {
      const history = new History(pool, seed, keeps, step => scratch.path(`${name}-${step}`))
      await history.run()
      histories.push(history)
    })
  }
  const [kept, deleted] = histories
  expect(deleted!.differences.length).toBeGreaterThan(10)
  expect(deleted!.differences.filter(({ ranges }) => ranges.length > 0).length).toBeGreaterThan(5)
  expect(deleted!.differences).toEqual(kept!.differences)
  // Identical rewrites only: the rest is exact.
  expect(deleted!.surplus).toBe(kept!.surplus)
}
