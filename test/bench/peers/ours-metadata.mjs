// The library's side of the trials of the reader of metadata.
import { rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { ThinMetadata } from 'dm-thin/metadata'
import { differingNodes, imageOf, makeImage, removeImage, VOLUMES } from '../metadata-image.mjs'
import { MAPPINGS } from '../metadata-trials.mjs'
import { range, readPlan, Samples } from '../plan.mjs'

const { trial, plan } = readPlan(process.argv.slice(2))
const samples = new Samples()
const NODE_BYTES = 4096
const MILLION = 1_000_000

/** Opens the file and reads all of an iteration. `expected`: the blocks in its ranges. */
async function reading(metric, walkOf, expected) {
  let [blocks, nodes, first] = [0, 0, undefined]
  const clock = samples.start()
  const metadata = await ThinMetadata.open(imageOf(plan))
  for await (const { length } of walkOf(metadata, progress => (nodes = progress.nodes))) {
    first ??= clock.add(`${metric}-first`) ?? true
    blocks += length
  }
  clock.add(metric)
  await metadata.close()
  if (blocks !== expected) throw new Error(`${metric}: ${blocks} blocks, not ${expected}`)
  return nodes
}

const delta = (metric, volume, expected) =>
  reading(metric, (metadata, onProgress) => metadata.delta(VOLUMES.base, volume, { onProgress }), expected)

/** Neighbouring blocks, and blocks of a pool of 16 TiB, in the order of their virtual blocks. */
const ranges = {
  async *sequential() {
    for (let begin = 0; begin < MILLION; begin++) yield { begin, length: 1, data: begin, time: begin % 2 }
  },
  async *random() {
    let state = 7
    const below = end => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      return Math.floor((state / 2 ** 32) * end)
    }
    for (let at = 0, begin = 0; at < MILLION; at++, begin += 1 + below(512)) {
      yield { begin, length: 1, data: below(2 ** 28), time: below(1000) }
    }
  },
}

const HEADER = {
  pool: 'bench',
  start: 'bench',
  volume: 1,
  creationTime: 0,
  mappedBlocks: MILLION,
  time: 1000,
  snapshottedTime: 1000,
  transactionId: '0',
  dataBlockBytes: 65_536,
}

const trials = {
  make: () => makeImage(plan),
  unmake: () => removeImage(plan),

  async delta() {
    const differ = differingNodes(plan)
    for (const _ of range(plan.repeats)) {
      samples.add('delta-sequential-nodes', await delta('delta-sequential', VOLUMES.sequential, plan.count))
      samples.add('delta-random-nodes', await delta('delta-random', VOLUMES.random, plan.count))
      samples.add('delta-random-nodes@differ', differ.random)
      samples.add('delta-full-read', NODE_BYTES * (await delta('delta-full', VOLUMES.whole, MAPPINGS)))
      const mappings = (metadata, onProgress) => metadata.mappings(VOLUMES.base, { onProgress })
      await reading('delta-mappings', mappings, MAPPINGS)
    }
  },

  /** The public call needs a running pool: these are the writer and the reader behind it. */
  async bookmark() {
    const { writeBookmark, BookmarkFile } = createRequire(import.meta.url)(
      '../../../dist/thin-metadata/bookmark/file.js',
    )
    const path = join(plan.directory, 'bookmark')
    for (const _ of range(plan.repeats)) {
      samples.add('bookmark-sequential', await writeBookmark(path, HEADER, ranges.sequential()))
      const bytes = await samples.time('bookmark-random-write', () => writeBookmark(path, HEADER, ranges.random()))
      samples.add('bookmark-random', bytes)
      const read = await samples.time('bookmark-random-read', async () => {
        const file = await BookmarkFile.open(path)
        let blocks = 0
        for await (const { length } of file.ranges()) blocks += length
        await file.close()
        return blocks
      })
      if (read !== MILLION) throw new Error(`${read} mappings read, not ${MILLION}`)
    }
    rmSync(path)
  },
}

await trials[trial]()
samples.print()
