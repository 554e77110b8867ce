// A pool with a random history: writes, identical writes, discards, snapshots of snapshots, deletions, reactivation. It is
// read while it runs and at rest, and compared with the tools, and with what was written.
import { alignedBuffer, BlockDevice, MiB, type ThinPool, type ThinVolume } from '../../../lib/entry/index.js'
import { ThinMetadata } from '../../../lib/entry/metadata.js'
import { BLOCK } from '../kernel/blocks.js'
import { dmTable } from '../kernel/dmsetup.js'
import { collect } from './collect.js'
import { thinLs } from './image.js'
import { thinDelta, thinDump } from './tools.js'
import { withPool } from '../pool/pools.js'
import { type Random, seeded } from '../random/random.js'

const BLOCKS = 1024
const PAGE = 4096

/** A volume, and the tag that was written last to each of its blocks; 0 for a hole. */
interface Known {
  readonly volume: ThinVolume
  readonly tags: number[]
}

class History {
  readonly #pool: ThinPool
  readonly #random: Random
  readonly known: Known[] = []
  #tag = 0

  constructor(pool: ThinPool, random: Random) {
    this.#pool = pool
    this.#random = random
  }

  async begin(): Promise<void> {
    const volume = await (await this.#pool.createVolume({ sizeBytes: BLOCKS * BLOCK })).activate()
    this.known.push({ volume, tags: Array<number>(BLOCKS).fill(0) })
  }

  async step(): Promise<void> {
    const random = this.#random
    const at = random.below(this.known.length)
    const known = this.known[at]!
    const { volume, tags } = known
    const kind = random.below(100)
    if (kind < 50) await this.#write(known)
    else if (kind < 62) await this.#discard(known)
    else if (kind < 80 && this.known.length < 7) {
      this.known.push({ volume: await volume.snapshot({ activate: true }), tags: [...tags] })
    } else if (kind < 86 && this.known.length > 2) {
      await volume.destroy()
      this.known.splice(at, 1)
    } else if (kind < 92) {
      await volume.deactivate()
      await volume.activate()
    } else await this.#write(known, true)
  }

  /** Writes the first page of each block of a run; some runs are long, some are of blocks apart. */
  async #write({ volume, tags }: Known, again = false): Promise<void> {
    const random = this.#random
    const [begin, step] = [random.below(BLOCKS), random.pick([1, 1, 1, 3, 17])]
    const end = Math.min(BLOCKS, begin + step * (1 + random.below(random.chance(20) ? 400 : 12)))
    const device = await BlockDevice.open(volume.path)
    const page = alignedBuffer(PAGE)
    for (let block = begin; block < end; block += step) {
      if (!again || tags[block] === 0) tags[block] = ++this.#tag
      page.writeUInt32LE(tags[block]!)
      await device.write(block * BLOCK, page)
    }
    await device.close()
  }

  async #discard({ volume, tags }: Known): Promise<void> {
    const begin = this.#random.below(BLOCKS)
    const length = Math.min(BLOCKS - begin, 1 + this.#random.below(this.#random.chance(30) ? 500 : 9))
    const device = await BlockDevice.open(volume.path)
    await device.discard({ offsetBytes: begin * BLOCK, lengthBytes: length * BLOCK })
    await device.close()
    tags.fill(0, begin, begin + length)
  }
}

/** Compares what is read with the tools, and the blocks outside each delta with what was written. */
async function compare(metadata: ThinMetadata, file: string, known: readonly Known[], options: readonly string[]) {
  const dump = thinDump(file, options)
  const ids = known.map(({ volume }) => volume.id).sort((a, b) => a - b)
  expect([...dump.keys()]).toEqual(ids)
  for (const id of ids) expect(await collect(metadata.mappings(id))).toEqual(dump.get(id))
  for (const left of known) {
    for (const right of known) {
      const ranges = await collect(metadata.delta(left.volume.id, right.volume.id, { same: true }))
      expect(ranges).toEqual(thinDelta(file, left.volume.id, right.volume.id, options))
      const changed = new Set<number>()
      for await (const { begin, length } of metadata.delta(left.volume.id, right.volume.id)) {
        for (let block = begin; block < begin + length; block++) changed.add(block)
      }
      const missed = left.tags.flatMap((tag, block) =>
        tag !== right.tags[block] && !changed.has(block) ? [block] : [],
      )
      expect({ left: left.volume.id, right: right.volume.id, missed }).toMatchObject({ missed: [] })
    }
  }
}

/** Expects the mappings, differences and usage of the tools, and none of the differences missed. */
export async function expectDeltas(seed: number): Promise<void> {
  const options = { dataBytes: 1024 * MiB, metadataBytes: 8 * MiB, skipBlockZeroing: true }
  await withPool(options, async (pool, { name, metadataFile }) => {
    const history = new History(pool, seeded(seed))
    await history.begin()
    for (let steps = 0; steps < 60; steps++) await history.step()
    const { known } = history
    expect(known.length).toBeGreaterThan(1)
    const running = await ThinMetadata.open(pool)
    await compare(running, `/dev/loop${dmTable(name).split(' ')[3]!.slice(2)}`, known, ['--metadata-snap'])
    await running.close()

    await pool.remove({ deactivate: true })
    const atRest = await ThinMetadata.open(metadataFile)
    await compare(atRest, metadataFile, known, [])
    expect(await atRest.usage()).toEqual(thinLs(metadataFile))
    expect(await atRest.check()).toEqual([])
    await atRest.close()
  })
}
