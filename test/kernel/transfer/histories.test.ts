// Random histories of a volume: each state is sent to another pool, as changes since the one before, and compared. The seed
// is in the title.
import { MiB, type ThinVolume } from '../../../lib/entry/index.js'
import { receiveVolume, sendVolume } from '../../../lib/entry/transfer.js'
import { writeBlock } from '../../helpers/kernel/blocks.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { bookmark, discard } from '../../helpers/metadata/bookmark.js'
import { thinDump } from '../../helpers/metadata/tools.js'
import { withPool } from '../../helpers/pool/pools.js'
import { seeded, type Random } from '../../helpers/random/random.js'
import { run } from '../../helpers/process/spawned.js'
import { onDevice, sha256 } from '../../helpers/transfer/volumes.js'

const scratch = useScratch()
const BLOCKS = 256
const STATES = 6

/** A state of the volume, and its copy in the other pool. */
interface State {
  readonly sent: ThinVolume
  readonly copy: ThinVolume
  readonly digest: string
}

/** Writes, discards and rolls back at random. */
async function change(volume: ThinVolume, states: readonly State[], random: Random) {
  if (states.length > 1 && random.chance(20)) {
    await volume.destroy()
    const { sent } = random.pick(states)
    volume = await (await sent.snapshot({ id: volume.id })).activate()
  }
  for (let count = random.integer(1, 12); count > 0; count--) {
    const block = random.below(BLOCKS)
    if (random.chance(35)) await discard(volume, block, Math.min(BLOCKS - block, random.integer(1, 40)))
    else await writeBlock(volume.path, block, random.integer(1, 1000))
  }
  return volume
}

const blocksOf = (file: string) =>
  new Map(
    [...thinDump(file)].map(([id, ranges]) => [
      id,
      ranges.flatMap(({ begin, length }) => Array.from({ length }, (_, at) => begin + at)),
    ]),
  )

test.each([1, 2, 3, 4])('each state of a random history is received as it was: seed %i', async seed => {
  const random = seeded(seed)
  const record = scratch.path(`history-${seed}.json`)
  const sizes = { dataBytes: 128 * MiB }
  await withPool(sizes, async (from, fromFiles) => {
    await withPool({ ...sizes, record }, async (to, toFiles) => {
      let volume = await (await from.createVolume({ sizeBytes: BLOCKS * 64 * 1024 })).activate()
      const states: State[] = []
      for (let step = 0; step < STATES; step++) {
        volume = await change(volume, states, random)
        const sent = await volume.snapshot()
        // The base is any earlier state, as a volume or as a bookmark.
        const base = states.length === 0 ? undefined : random.chance(60) ? states.at(-1)! : random.pick(states)
        const file = scratch.path(`${seed}-${step}.bookmark`)
        const isSaved = base !== undefined && random.boolean()
        if (isSaved) await bookmark(from, base.sent, file)
        const stream = await sendVolume(from, sent, base ? { from: isSaved ? file : base.sent } : {})
        const copy = await receiveVolume(to, stream, base ? { base: base.copy } : {})
        states.push({ sent, copy, digest: await sha256(sent) })
      }
      for (const { sent, copy, digest } of states) {
        expect(await sha256(copy)).toBe(digest)
        await onDevice(sent, one => onDevice(copy, other => run('cmp', [one, other])))
      }
      await from.remove({ deactivate: true })
      await to.remove({ deactivate: true })
      const [sentBlocks, copiedBlocks] = [blocksOf(fromFiles.metadataFile), blocksOf(toFiles.metadataFile)]
      const pairs = states.map(({ sent, copy }) => [sentBlocks.get(sent.id), copiedBlocks.get(copy.id)])
      for (const [left, right] of pairs) expect(right).toEqual(left)
      expect([...copiedBlocks.keys()]).toEqual(states.map(({ copy }) => copy.id).sort((a, b) => a - b))
    })
  })
})
