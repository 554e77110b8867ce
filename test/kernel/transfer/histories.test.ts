// Random histories of a volume: each state is sent to another pool, as changes since the one before, interrupted or not, and
// saved as a backup, and compared. The seed is in the title.
import type { Readable } from 'node:stream'
import { MiB, type ThinPool, type ThinVolume } from '../../../lib/entry/index.js'
import {
  interruptedReceives,
  readBackup,
  receiveVolume,
  saveBackup,
  sendVolume,
  type SendOptions,
} from '../../../lib/entry/transfer.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { writeBlock } from '../../helpers/kernel/blocks.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { bookmark, discard } from '../../helpers/metadata/bookmark.js'
import { thinDump } from '../../helpers/metadata/tools.js'
import { withPool } from '../../helpers/pool/pools.js'
import { seeded, type Random } from '../../helpers/random/random.js'
import { run } from '../../helpers/process/spawned.js'
import { MemoryChunks } from '../../helpers/transfer/memory-chunks.js'
import { bytesOf, mappedBlocks, onDevice, pieces, sha256 } from '../../helpers/transfer/volumes.js'

const scratch = useScratch()
const BLOCKS = 256
const STATES = 6

/** A state of the volume, and its copy in the other pool. */
interface State {
  readonly sent: ThinVolume
  readonly copy: ThinVolume
  /** The name of its backup. */
  readonly name: string
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

/** Receives a part of a stream. Returns what it can continue with. */
async function interrupted(
  to: ThinPool,
  stream: Readable,
  base: State | undefined,
  random: Random,
): Promise<SendOptions> {
  const bytes = await bytesOf(stream)
  const cut = pieces(bytes.subarray(0, random.integer(0, bytes.length - 1)))
  const saveEveryBytes = random.pick([512, 300_000, 2 ** 30])
  await expectCode(receiveVolume(to, cut, { saveEveryBytes, ...(base && { base: base.copy }) }), 'DM_TRANSFER_INVALID')
  const [found] = await interruptedReceives(to)
  return found ? { resume: found.token } : {}
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
      const chunks = new MemoryChunks()
      for (let step = 0; step < STATES; step++) {
        volume = await change(volume, states, random)
        const sent = await volume.snapshot()
        // The base is any earlier state, as a volume or as a bookmark.
        const base = states.length === 0 ? undefined : random.chance(60) ? states.at(-1)! : random.pick(states)
        const file = scratch.path(`${seed}-${step}.bookmark`)
        const isSaved = base !== undefined && random.boolean()
        if (isSaved) await bookmark(from, base.sent, file)
        const given = base ? { from: isSaved ? file : base.sent } : {}
        const name = `step-${step}`
        await saveBackup(chunks, name, await sendVolume(from, sent, given), base ? { base: base.name } : {})
        const resumed = random.boolean() ? await interrupted(to, await sendVolume(from, sent, given), base, random) : {}
        const stream = await sendVolume(from, sent, { ...given, ...resumed })
        const copy = await receiveVolume(to, stream, base ? { base: base.copy } : {})
        states.push({ sent, copy, name, digest: await sha256(sent) })
      }
      for (const { sent, copy, digest } of states) {
        expect(await sha256(copy)).toBe(digest)
        await onDevice(sent, one => onDevice(copy, other => run('cmp', [one, other])))
      }
      for (const { sent, name, digest } of states) {
        const restored = await receiveVolume(to, await readBackup(chunks, name))
        expect(await sha256(restored)).toBe(digest)
        expect(await mappedBlocks(to, restored.id)).toEqual(await mappedBlocks(from, sent.id))
        await restored.delete()
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
