// Streams of volumes that exist in memory only.
import { digestOf } from '../../../lib/transfer/chunk-digest.js'
import { formatRecord, NO_DIGEST, type StreamHeader } from '../../../lib/transfer/format.js'
import { streamOf, type LoadedRecord } from '../../../lib/transfer/write-stream.js'
import type { FrozenState } from '../../../lib/pool/state/sent-states.js'
import { collect } from '../metadata/collect.js'

export interface MemoryVolume {
  /** The content; a block that is undefined is not mapped. */
  readonly blocks: readonly (Buffer | undefined)[]
  readonly state: FrozenState
}

export const BLOCK_BYTES = 64 * 1024

const filled = Array.from({ length: 256 }, (_, seed) => Buffer.alloc(BLOCK_BYTES, seed))

/** Returns a volume of blocks, each full of a number, or not mapped. */
export function memoryVolume(seeds: readonly (number | undefined)[], time: number): MemoryVolume {
  const blocks = seeds.map(seed => (seed === undefined ? undefined : filled[seed]))
  const mappedBlocks = blocks.filter(block => block !== undefined).length
  return { blocks, state: { start: 'start', volume: 1, time, mappedBlocks } }
}

/** Returns the stream that leads from a volume, or from nothing, to another. Runs of blocks are one chunk. */
export function streamTo(volume: MemoryVolume, base?: MemoryVolume): AsyncGenerator<Uint8Array, void> {
  const { start, ...identity } = base?.state ?? volume.state
  const header: StreamHeader = {
    pool: 'p',
    sizeBytes: volume.blocks.length * BLOCK_BYTES,
    dataBlockBytes: BLOCK_BYTES,
    target: volume.state,
    ...(base && { base: { starts: [start], ...identity } }),
  }
  return streamOf(header, recordsTo(volume, base), {})
}

async function* recordsTo({ blocks }: MemoryVolume, base?: MemoryVolume): AsyncGenerator<LoadedRecord, void> {
  const isChanged = (at: number) => {
    const [now, before] = [blocks[at], base?.blocks[at]]
    return now && before ? !now.equals(before) : now !== before
  }
  for (let at = 0; at < blocks.length;) {
    if (!isChanged(at)) {
      at++
      continue
    }
    let end = at + 1
    const isHole = blocks[at] === undefined
    while (end < blocks.length && isChanged(end) && (blocks[end] === undefined) === isHole && (isHole || end - at < 16))
      end++
    const content = isHole ? undefined : Buffer.concat(blocks.slice(at, end) as Buffer[])
    const [offset, length] = [at * BLOCK_BYTES, (end - at) * BLOCK_BYTES]
    const digest = content ? await digestOf(content) : NO_DIGEST
    yield { record: { type: isHole ? 'hole' : 'chunk', offset, length, digest }, content }
    at = end
  }
}

/** Returns the stream of a header that nobody would send, with no records. */
export const forgedStream = (header: StreamHeader): AsyncGenerator<Uint8Array, void> =>
  streamOf(header, (async function* (): AsyncGenerator<LoadedRecord, void> {})(), {})

/** Returns the volume that a full stream contains. */
export async function volumeOf(stream: AsyncIterable<Uint8Array>): Promise<(Buffer | undefined)[]> {
  const bytes = Buffer.concat(await collect(stream))
  const header = JSON.parse(bytes.subarray(16, 16 + bytes.readUInt32LE(12)).toString()) as StreamHeader
  const blocks: (Buffer | undefined)[] = Array.from({ length: header.sizeBytes / BLOCK_BYTES }, () => undefined)
  const recordBytes = formatRecord({ type: 'end', offset: 0, length: 0, digest: NO_DIGEST }).length
  for (let at = 16 + bytes.readUInt32LE(12); bytes.readUInt32LE(at) !== 3;) {
    const [offset, length] = [Number(bytes.readBigUInt64LE(at + 8)), Number(bytes.readBigUInt64LE(at + 16))]
    at += recordBytes
    for (let done = 0; done < length; done += BLOCK_BYTES) {
      blocks[(offset + done) / BLOCK_BYTES] = bytes.subarray(at + done, at + done + BLOCK_BYTES)
    }
    at += length
  }
  return blocks
}
