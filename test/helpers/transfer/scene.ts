// Two pools, a volume that was received, and the snapshots of the next stream: the scene of receives that are interrupted.
import { MiB, type ThinPool, type ThinVolume } from '../../../lib/entry/index.js'
import { receiveVolume, sendVolume, type SendOptions } from '../../../lib/entry/transfer.js'
import { writeBlock } from '../kernel/blocks.js'
import { discard, written } from '../metadata/bookmark.js'
import { withPool, type PoolFiles, type TestPoolOptions } from '../pool/pools.js'
import { bytesOf, contentsOf, sha256 } from './volumes.js'

export interface Snapshots {
  /** The volume whose snapshots these are, active. */
  readonly volume: ThinVolume
  readonly monday: ThinVolume
  readonly tuesday: ThinVolume
  /** The copy of monday. */
  readonly base: ThinVolume
  /** The changes from monday to tuesday, from the start or from a token. */
  readonly changes: (options?: SendOptions) => Promise<Buffer>
  /** The digest of tuesday. */
  readonly expected: string
}

export interface Scene extends Snapshots {
  readonly from: ThinPool
  readonly to: ThinPool
  readonly toFiles: PoolFiles
  readonly record: string
}

/** The number of chunks and of holes between the snapshots. */
export const CHANGES = 6

const SIZES = { dataBytes: 32 * MiB }

/** Makes the snapshots in one pool, and a copy of the first in the other. */
export async function snapshotsIn(from: ThinPool, to: ThinPool): Promise<Snapshots> {
  const volume = await written(from, 20)
  const monday = await volume.snapshot()
  const base = await receiveVolume(to, await sendVolume(from, monday))
  for (const block of [2, 3, 18, 30, 50, 63]) await writeBlock(volume.path, block, 100 + block)
  await discard(volume, 10, 4)
  const tuesday = await volume.snapshot()
  const changes = async (sent: SendOptions = {}) => bytesOf(await sendVolume(from, tuesday, { from: monday, ...sent }))
  return { volume, monday, tuesday, base, changes, expected: await sha256(tuesday) }
}

/** Calls `body` with two pools, of which the second has a record. */
export async function withScene(
  record: string,
  body: (scene: Scene) => Promise<void>,
  options: TestPoolOptions = {},
): Promise<void> {
  await withPool(SIZES, from =>
    withPool({ ...SIZES, ...options, record }, async (to, toFiles) => {
      await body({ from, to, toFiles, record, ...(await snapshotsIn(from, to)) })
    }),
  )
}

/** Divides a stream into its header, its records with their contents, and its end. */
export function partsOf(stream: Buffer): Buffer[] {
  const parts: Buffer[] = []
  for (let at = 0; at < stream.length;) {
    const isHeader = at === 0
    const isChunk = !isHeader && stream.readUInt32LE(at) === 1
    const length = isHeader
      ? 16 + stream.readUInt32LE(12)
      : 56 + (isChunk ? Number(stream.readBigUInt64LE(at + 16)) : 0)
    parts.push(stream.subarray(at, at + length))
    at += length
  }
  return parts
}

/** Returns the offset in the volume at which a record ends. */
export const endOf = (part: Buffer): number => Number(part.readBigUInt64LE(8)) + Number(part.readBigUInt64LE(16))

/** A source that yields a record when the one before is written, and `onProgress` for it. */
export function inTurn(stream: Buffer, onRecord: (count: number) => void = () => {}) {
  let [count, next] = [0, () => {}]
  const onProgress = () => {
    onRecord(++count)
    next()
  }
  async function* source(): AsyncGenerator<Buffer> {
    const [header, ...records] = partsOf(stream)
    yield header!
    for (const record of records.slice(0, -1)) {
      const written = new Promise<void>(resolve => (next = resolve))
      yield record
      await written
    }
    yield records.at(-1)!
  }
  return { source: source(), onProgress }
}

/** What a pool has besides the base: volumes that are marked as unfinished, and those that are complete. */
export async function othersIn({ to, record, base }: Pick<Scene, 'to' | 'record' | 'base'>) {
  const { ids, recorded } = await contentsOf(to, record)
  const others = recorded.filter(({ id }) => id !== base.id)
  return {
    unfinished: others.filter(({ receiving }) => receiving).map(({ id }) => id),
    complete: others.filter(({ receiving }) => !receiving).map(({ id }) => id),
    notRecorded: ids.filter(id => !recorded.some(each => each.id === id)),
  }
}
